"""sizes beyond 2 GiB: PostgreSQL's integer ends there, and a larger image could be stored but not indexed"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = ("instance", "quarantine")


def upgrade() -> None:
    _change(sa.BigInteger())


def downgrade() -> None:
    _change(sa.Integer())


def _change(kind: sa.types.TypeEngine[int]) -> None:
    if op.get_bind().dialect.name == "sqlite":  # its integers have 64 bits
        return
    for table in _TABLES:
        op.alter_column(table, "size", type_=kind, existing_nullable=False)
