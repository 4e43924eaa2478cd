"""Plan a grid of runs and run it: python jobs/submit.py grid=NAME [key=value ...]

NAME is a file in jobs/grid/, or a path to a YAML file. Submitting again is always safe: what is done is not done again,
what failed is retried. Any key of the grid can be overridden (seeds=1, noise.symmetric=[0.2], data.fraction=0.1 for a
tenth of the training images), the recipe's (recipe.pretrain.simclr.epochs=20) and the cluster's (cluster.at_once=1).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from noisewise import cli
from noisewise.errors import UserError
from noisewise.grid.expand import Grid, read_grid
from noisewise.grid.plan import describe
from noisewise.launch.cluster import load_cluster, slots
from noisewise.launch.submit import estimates, make_settings, plan_grid, run_here


@dataclass
class Words:
    grid: str = field(metadata={"help": "what to run"})
    recipe: str = field(default="", metadata={"help": "instead of the grid's: a file in jobs/recipe/, or a path"})
    cluster: str = field(default="local", metadata={"help": "where: a file in slurm/, or a path"})
    runs: str = field(default="runs", metadata={"help": "the runs folder"})
    data: str = field(default="data", metadata={"help": "the data folder: raw images, packs, weights"})
    out: str = field(default="", metadata={"help": "the report's folder (default: report/GRID in the runs folder)"})
    wandb: str = field(default="off", metadata={"help": "off, offline or online"})
    dry_run: bool = field(default=False, metadata={"help": "show the plan and stop"})


def main(words: list[str]) -> int:
    asked, overrides = cli.parse(words, Words, extra=True)
    cluster = load_cluster(asked.cluster, overrides.pop("cluster", None))
    grid = read_grid(asked.grid, overrides, asked.recipe)
    settings = make_settings(asked.data, cluster.threads, wandb=asked.wandb, group=grid.name)
    root = cli.folder(asked.runs)
    plan = plan_grid(grid, root)
    print("\n".join(describe(plan, estimates(plan, root, slots(cluster)))), flush=True)
    if asked.dry_run:
        return cli.DONE
    if not grid.ready:
        raise UserError(f"none of the {len(grid.runs)} runs of grid '{grid.name}' can be run by this version.")
    outcome = run_here(plan, root, cluster, settings)
    complete = not (outcome.failed or outcome.blocked or grid.missing)
    try:
        report(grid, root, asked.out)
    except UserError as error:
        print(f"error: {error}")
        complete = False
    return cli.DONE if complete else cli.SOME_FAILED


def report(grid: Grid, root: Path, out: str) -> None:
    """Build the report and print its answer."""
    from noisewise.report.build import build_report

    where = cli.folder(out) if out else root / "report" / grid.name
    built = build_report(grid.finetunes, root, where, grid.name, grid.missing)
    print("\n" + "\n".join(built.answer) + f"\n\nreport: {built.page}")


if __name__ == "__main__":
    cli.run(main, __doc__, Words)
