"""who lifted a package that was left alone or quarantined, and why"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("circuit", sa.Column("lifted", sa.Text(), nullable=True, server_default=""))
    op.add_column("circuit", sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("circuit", "lifted_at")
    op.drop_column("circuit", "lifted")
