"""Tasks: when each is due, how it goes, and its last runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.create_table(
        "tasks",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("times", sa.Text, nullable=False),
        sa.Column("is_declared", sa.Boolean, nullable=False),
        sa.Column("due_at_ms", sa.BigInteger, nullable=False),
        sa.Column("next_due_ms", sa.BigInteger, nullable=False),
        sa.Column("anchor_ms", sa.BigInteger, nullable=False),
        sa.Column("interval_ms", sa.BigInteger, nullable=False),
        sa.Column("chosen_interval_ms", sa.BigInteger, nullable=False),
        sa.Column("is_paused", sa.Boolean, nullable=False),
        sa.Column("paused_until_ms", sa.BigInteger, nullable=False),
        sa.Column("run_at_ms", sa.BigInteger, nullable=False),
        sa.Column("changed_at_ms", sa.BigInteger, nullable=False),
        sa.Column("run_number", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("run_due_ms", sa.BigInteger, nullable=False),
        sa.Column("run_by", sa.Text, nullable=False),
        sa.Column("run_since_ms", sa.BigInteger, nullable=False),
        sa.Column("run_repeats", sa.Integer, nullable=False),
        sa.Column("run_until_ms", sa.BigInteger, nullable=False),
        sa.Column("last_run_ms", sa.BigInteger, nullable=False),
        sa.Column("last_success_ms", sa.BigInteger, nullable=False),
        sa.Column("last_duration_ms", sa.BigInteger, nullable=False),
        sa.Column("last_result", sa.Text, nullable=False),
        sa.Column("last_error", sa.Text, nullable=False),
        sa.Column("failures", sa.BigInteger, nullable=False),
        sa.Column("successes", sa.BigInteger, nullable=False),
        sa.Column("is_failing", sa.Boolean, nullable=False),
        sa.Column("runs", sa.BigInteger, nullable=False),
        sa.Column("failed", sa.BigInteger, nullable=False),
        sa.Column("timed_out", sa.BigInteger, nullable=False),
        sa.Column("cancelled", sa.BigInteger, nullable=False),
        sa.Column("lost", sa.BigInteger, nullable=False),
        sa.Column("overruns", sa.BigInteger, nullable=False),
        sa.Column("missed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="tasks_key"),
    )
    op.create_index("tasks_due", "tasks", ["next_due_ms"])
    op.create_index("tasks_changed", "tasks", ["changed_at_ms"])
    op.create_index("tasks_run_by", "tasks", ["run_by"])
    op.create_table(
        "task_runs",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slot", sa.Integer, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("process", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", "slot", name="task_runs_key"),
    )
    op.create_table(
        "sweeps",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("done", sa.BigInteger, nullable=False),
        sa.Column("last", sa.Text, nullable=False),
        sa.Column("began_ms", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="sweeps_key"),
    )


def downgrade() -> None:
    op.drop_table("sweeps")
    op.drop_table("task_runs")
    op.drop_table("tasks")
