"""named series: which series of a study a run reads as what"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("inputs", sa.JSON(), nullable=True, server_default="{}"))


def downgrade() -> None:
    op.drop_column("run", "inputs")
