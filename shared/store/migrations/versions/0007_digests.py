"""digests say their algorithm: what was there is SHA-256, what comes may be by a faster one"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_TABLES = ("instance", "duplicate")


def upgrade() -> None:
    for table in _TABLES:
        _rename(table, "sha256", "digest", 80)
        op.execute(f"update {table} set digest = 'sha256:' || digest where digest <> ''")


def downgrade() -> None:
    """What is by another algorithm has no SHA-256: its file tells it again, where someone asks."""
    for table in _TABLES:
        op.execute(f"update {table} set digest = '' where digest not like 'sha256:%'")
        op.execute(f"update {table} set digest = substr(digest, 8)")
        _rename(table, "digest", "sha256", 64)


def _rename(table: str, old: str, new: str, length: int) -> None:
    op.execute(f"alter table {table} rename column {old} to {new}")
    if op.get_bind().dialect.name != "sqlite":  # it does not hold a text to its length
        op.alter_column(table, new, type_=sa.String(length=length), existing_nullable=False)
