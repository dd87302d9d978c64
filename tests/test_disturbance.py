"""Disturbances: what they integrate to, that they are pure, and what the command line text may be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dvp_mpc.disturbance import (
    FORMS,
    ExternalWrench,
    Impulse,
    Profile,
    RandomWrench,
    Sine,
    Step,
    Sum,
    acting,
    parse_disturbance,
)
from dvp_mpc.errors import BadSetting, UnknownChoice

PROFILES = [
    Impulse((0, -5, 0), start=0.2),
    Step((1, 2, 3), start=0.1, stop=0.4),
    Sine((0, 0, 4), frequency_hz=2),
    RandomWrench(5, seed=3),
    RandomWrench(5, seed=3, start=0.1, stop=0.3),
    Sum((Impulse((1, 0, 0), start=0.3), RandomWrench(2, seed=1))),
]


def sampled(profile: Profile, stop: float, dt: float = 1e-3) -> np.ndarray:
    """Wrenches in the middle of each step, as the simulation takes them: (n, 6)."""
    return np.array([profile.wrench((k + 0.5) * dt) for k in range(round(stop / dt))])


@given(
    start=st.integers(0, 300),
    steps=st.integers(1, 200),
    p=st.tuples(*[st.floats(-20, 20)] * 3),
)
def test_impulse_integrates_to_its_size_whatever_its_duration(
    start: int, steps: int, p: tuple[float, float, float]
) -> None:
    force = sampled(Impulse(p, start=start * 1e-3, duration=steps * 1e-3), stop=0.6)
    np.testing.assert_allclose(force[:, :3].sum(axis=0) * 1e-3, p, atol=1e-12 + 1e-9 * max(map(abs, p)))


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_is_a_pure_function_of_time(profile: Profile) -> None:
    times = np.linspace(0, 0.5, 11)
    forwards = [profile.wrench(t) for t in times]
    backwards = [profile.wrench(t) for t in times[::-1]][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert np.any(forwards)
    assert {profile: 1}[profile] == 1, "hashable, so that settings made of it stay frozen"


@pytest.mark.parametrize(
    ("profile", "moment"),
    [
        (Impulse((0, 0, 0), start=0.0, angular=(0.1, 0.2, 0.3)), (1, 2, 3)),
        (Step((0, 0, 0), moment=(1, 2, 3)), (1, 2, 3)),
        (Sine((0, 0, 0), 5, moment=(1, 2, 3)), (1, 2, 3)),
    ],
)
def test_a_moment_alone(profile: Profile, moment: tuple[float, float, float]) -> None:
    np.testing.assert_allclose(profile.wrench(0.05), [0, 0, 0, *moment], atol=1e-12)


def test_a_random_moment_has_its_rms_and_leaves_the_force_as_it_is() -> None:
    alone, both = RandomWrench(5, seed=3), RandomWrench(5, seed=3, moment_rms=0.7)
    wrench = sampled(both, stop=40.0, dt=5e-3)
    np.testing.assert_array_equal(wrench[:, :3], sampled(alone, stop=40.0, dt=5e-3)[:, :3])
    assert math.sqrt((wrench[:, 3:] ** 2).sum(axis=1).mean()) == pytest.approx(0.7, rel=0.15)


def test_a_wrench_that_turns_with_its_link_is_brought_to_the_world() -> None:
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # about z
    asked: list[str | None] = []

    def rotation(link: str | None) -> np.ndarray:
        asked.append(link)
        return quarter

    push = Step((1, 0, 0), start=1.0, moment=(0, 2, 0))
    pushes = [ExternalWrench(push, "hand", turns_with_link=True), ExternalWrench(push)]
    assert not np.any([wrench for _, wrench in acting(pushes, 0.5, rotation)])
    assert asked == [], "no kinematics while nothing acts"
    (link, turned), (tool, fixed) = acting(pushes, 1.5, rotation)
    assert (link, tool, asked) == ("hand", None, ["hand"])
    np.testing.assert_array_equal(turned, [0, 1, 0, -2, 0, 0])
    np.testing.assert_array_equal(fixed, [1, 0, 0, 0, 2, 0])


@pytest.mark.parametrize("profile", PROFILES)
def test_nothing_acts_outside_the_span(profile: Profile) -> None:
    start, stop = profile.span
    assert start <= stop
    assert not profile.wrench(start - 1e-6).any()
    if math.isfinite(stop):
        assert not profile.wrench(stop + 1e-6).any()


def test_step_holds_from_start_to_stop() -> None:
    push = Step((1, 2, 3), start=0.1, stop=0.4)
    active = [bool(push.wrench(t).any()) for t in (0.0, 0.0999, 0.1, 0.3999, 0.4)]
    assert active == [False, False, True, True, False]


def test_sine_has_its_frequency_and_amplitude() -> None:
    force = sampled(Sine((0, 0, 4), frequency_hz=2), stop=1.0)[:, 2]
    assert np.argmax(np.abs(np.fft.rfft(force))) == 2
    assert force.max() == pytest.approx(4, rel=1e-4)


def test_random_force_has_its_rms_and_stays_in_its_band() -> None:
    force = np.concatenate(
        [sampled(RandomWrench(5, seed, bandwidth_hz=3), stop=20.0, dt=5e-3)[:, :3] for seed in range(4)]
    )
    assert math.sqrt((force**2).sum(axis=1).mean()) == pytest.approx(5, rel=0.1)
    one = force[:4000, 0] * np.hanning(4000)
    power = np.abs(np.fft.rfft(one)) ** 2
    above = np.fft.rfftfreq(4000, 5e-3) > 3.2
    assert power[above].sum() < 1e-3 * power.sum()


def test_seed_decides_the_random_force() -> None:
    assert not np.allclose(sampled(RandomWrench(5, seed=0), 0.1), sampled(RandomWrench(5, seed=1), 0.1))


def test_sum_adds_its_parts() -> None:
    a, b = Impulse((1, 0, 0), start=0.0), Sine((0, 2, 0), frequency_hz=1)
    for t in (0.05, 0.2):
        np.testing.assert_allclose(Sum((a, b)).wrench(t), a.wrench(t) + b.wrench(t))


@pytest.mark.parametrize(
    ("text", "profile"),
    [
        ("impulse:5@1.5", Impulse((0, -5, 0), start=1.5)),
        ("impulse:5@1.5/+x", Impulse((5, 0, 0), start=1.5)),
        ("push:20@1-4", Step((0, -20, 0), start=1, stop=4)),
        ("push:.5@1-4.25/-z", Step((0, 0, -0.5), start=1, stop=4.25)),
        ("sine:10@0.5Hz", Sine((0, -10, 0), frequency_hz=0.5)),
        ("random:5", RandomWrench(5, seed=7)),
        ("random:5@2Hz", RandomWrench(5, seed=7, bandwidth_hz=2)),
        ("impulse:5@1, random:3", Sum((Impulse((0, -5, 0), start=1), RandomWrench(3, seed=8)))),
    ],
)
def test_text_is_read(text: str, profile: Profile) -> None:
    assert parse_disturbance(text, seed=7) == ExternalWrench(profile)


def test_random_direction_has_the_size_asked_for_and_comes_from_the_seed() -> None:
    pushes = [parse_disturbance("push:8@0-1/random", seed=seed).profile.wrench(0.5) for seed in (1, 1, 2)]
    assert [np.linalg.norm(push) for push in pushes] == pytest.approx([8, 8, 8])
    assert np.array_equal(pushes[0], pushes[1])
    assert not np.allclose(pushes[0], pushes[2])


def test_link_is_handed_on() -> None:
    assert parse_disturbance("random:1", link="panda_link4").link == "panda_link4"


@pytest.mark.parametrize("text", ["", "kick:5@1", "5@1.5"])
def test_unknown_kind_lists_every_form(text: str) -> None:
    with pytest.raises(UnknownChoice) as caught:
        parse_disturbance(text)
    assert all(form in str(caught.value) for form in FORMS.values())


@pytest.mark.parametrize(
    "text",
    [
        "impulse",
        "impulse:5",
        "impulse:five@1",
        "impulse:-5@1",
        "impulse:5@1.5s",
        "push:20@1",
        "sine:10@0.5",
        "random:5@2",
    ],
)
def test_malformed_text_shows_the_form_of_its_kind(text: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse_disturbance(text)
    assert FORMS[text.split(":")[0]] in str(caught.value)


@pytest.mark.parametrize("text", ["push:20@4-1", "sine:1@0Hz", "random:5@0Hz", "random:5/+x"])
def test_settings_out_of_range_are_refused(text: str) -> None:
    with pytest.raises(BadSetting):
        parse_disturbance(text)


def test_unknown_direction_lists_the_directions() -> None:
    with pytest.raises(UnknownChoice, match=r"\+x, -x, \+y, -y, \+z, -z, random"):
        parse_disturbance("impulse:5@1/up")
