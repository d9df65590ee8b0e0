"""quarantine: how often in a row a package's model answered nonsense"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("circuit", sa.Column("nonsense", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("circuit", "nonsense")
