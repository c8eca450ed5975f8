"""The shop's users: some thousand, made up, always the same ones.

Run as a script it prints them in the form of a rollout's directory (`spec.audience.directory`):

    python -m examples.shop.users > users.json
    kubectl create configmap shop-users --from-file=users.json
"""

import argparse
import json
import random
from dataclasses import asdict, dataclass

COUNT = 3000
"""How many users the shop has unless something else is said."""

_SEED = 20_26
_DEVICES = {"mobile": 55, "desktop": 38, "tablet": 7}
_COUNTRIES = {"de": 40, "fr": 25, "at": 15, "ch": 12, "nl": 8}


@dataclass(frozen=True, slots=True)
class User:
    """One user with the attributes that cohorts may ask for.

    Attributes:
        key: the targeting key, `user-0001` and on.
        orders: how many orders this user has placed so far.
        device: `mobile`, `desktop` or `tablet`.
        country: two letters.
    """

    key: str
    orders: int
    device: str
    country: str

    def attributes(self) -> dict[str, str | int]:
        """What the evaluation context holds besides the key."""
        return {"orders": self.orders, "device": self.device, "country": self.country}


def make_users(count: int = COUNT) -> tuple[User, ...]:
    """Make the first `count` users; most have ordered a few times, one in eight more than ten times."""
    dice = random.Random(_SEED)
    return tuple(_make_user(number, dice) for number in range(1, count + 1))


def _make_user(number: int, dice: random.Random) -> User:
    return User(
        key=f"user-{number:04}",
        orders=int(dice.expovariate(1 / 5.3)),
        device=_pick(_DEVICES, dice),
        country=_pick(_COUNTRIES, dice),
    )


def _pick(weights: dict[str, int], dice: random.Random) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def to_directory(users: tuple[User, ...]) -> str:
    """The users as `users.json` of a directory: compact, for a ConfigMap holds at most 1 MiB."""
    return json.dumps([asdict(user) for user in users], separators=(",", ":"))


def main() -> None:
    """Print the directory."""
    parser = argparse.ArgumentParser(description="Print the shop's users as a PilotRollout's directory (users.json).")
    parser.add_argument("--count", type=int, default=COUNT, help="how many (default: %(default)s)")
    print(to_directory(make_users(parser.parse_args().count)))


if __name__ == "__main__":
    main()
