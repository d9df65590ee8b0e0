"""the class of a run's failure, which its notice is coded by"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("failure", sa.String(length=16), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("run", "failure")
