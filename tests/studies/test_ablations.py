"""The study of what each ingredient is worth: it changes what it says, goes on where it stopped, and writes its page."""

from dataclasses import replace
from pathlib import Path

import pytest

from dvp_mpc.errors import BadSetting, UnknownChoice
from dvp_mpc.learning.settings import Fit, Net, Sampling
from dvp_mpc.studies import ablations
from dvp_mpc.studies.ablations import ALL, VARIANTS, Ablations, Result, Variant, study, times_as_much, write_page

SHORT = replace(
    ALL,
    sampling=Sampling(problems=10, horizon=60),
    fit=Fit(steps=10, batch=64, threads=1),
    net=Net((16,)),
    validation=4,
)


def test_every_variant_changes_something() -> None:
    assert [name for name, variant in VARIANTS.items() if variant.settings == ALL] == ["all"]


def test_two_variants_side_by_side_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Variant(replace(SHORT, net=replace(SHORT.net, riccati=False)), "the network learns all of r")
    monkeypatch.setattr(ablations, "VARIANTS", {"all": Variant(SHORT, "all of it"), "Riccati part": plain})
    settings = Ablations(("all", "Riccati part"), seeds=1, starts=2, jobs=1, out=tmp_path / "runs")
    found = study(settings)
    assert set(found["all"][0].loss) == {1, 2, 5, 10}
    assert found["all"][0].loss[10][0] < found["Riccati part"][0].loss[10][0]
    monkeypatch.setattr(ablations, "closed_loops", None)  # nothing is run twice
    assert study(settings) == found
    write_page(found, tmp_path / "page.md", settings)
    page = (tmp_path / "page.md").read_text()
    assert "| Riccati part |" in page
    assert "- **Riccati part**: the network learns all of r." in page


def test_a_multiple_is_bold_where_no_seed_came_near() -> None:
    def runs(*losses: float) -> list[Result]:
        return [Result(dict.fromkeys((1, 2, 5, 10), (loss, 2 * loss)), 0.0, 0.0) for loss in losses]

    complete = runs(0.1, 0.2, 0.3)
    assert times_as_much(runs(0.25, 0.35), complete)[0] == "1.5"
    assert times_as_much(runs(0.4, 0.6), complete)[0] == "**2.5**"
    assert times_as_much(runs(0.05, 0.05), complete)[0] == "**0.25**"
    assert times_as_much(runs(0.4, float("inf")), complete)[0] == "**diverged**"


@pytest.mark.parametrize("change", [{"seeds": 0}, {"starts": 0}, {"jobs": 0}])
def test_numbers_that_cannot_be(change: dict[str, int]) -> None:
    with pytest.raises(BadSetting):
        Ablations(**change)  # type: ignore[arg-type]


def test_an_unknown_variant_is_named() -> None:
    with pytest.raises(UnknownChoice, match="anchor"):
        Ablations(("the wheel",))
