"""the first version of a package that read goes on to: which one that is, and the weights of what was chosen"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_READS = """
    insert into package_choice (package, version, canary, share, shadow, before, weights, who, why, at)
    select r.package, r.version, '', 0, '', '', '{}', 'isocenter', 'the newest that read', r.created_at
    from run r
    where r.id = (select n.id from run n where n.package = r.package order by n.created_at desc, n.id desc limit 1)
    and not exists (select 1 from package_choice c where c.package = r.package)
"""


def upgrade() -> None:
    op.add_column("package_choice", sa.Column("weights", sa.JSON(), nullable=True, server_default="{}"))
    op.execute(_READS)


def downgrade() -> None:
    op.execute("delete from package_choice where who = 'isocenter'")
    op.drop_column("package_choice", "weights")
