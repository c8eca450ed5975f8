"""What `pilotage backtest` does: reads its files, replays, prints; each mistake is one sentence and an exit status."""

import argparse
import asyncio
import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pilotage.backtest.history import History, HistoryError, UnfitError
from pilotage.backtest.manifests import ManifestError, Manifests, read_manifests
from pilotage.backtest.recording import Recorder, Recording, RecordingError, Span, open_recording, read_recording
from pilotage.backtest.run import Backtest, Setting, backtest, check, trials_of
from pilotage.backtest.story import tell, to_json
from pilotage.controller.directory import DOCUMENT, DirectoryError, read_directory, read_users
from pilotage.kube import Kube, KubeError
from pilotage.metrics.client import PrometheusClient
from pilotage.metrics.fetching import QueryApi
from pilotage.resources.indicators import IndicatorTemplate, IndicatorTemplateSpec
from pilotage.resources.rollout import PilotRollout
from pilotage.rollout.admission import User
from pilotage.rollout.plan import PlanError

WRONG_INPUT, CAN_NOT_ASK = 2, 3
_TELL_SECONDS = 2.0


class InputError(Exception):
    """Options or files that can't be used; the message says what to change."""


def run_backtest(arguments: argparse.Namespace) -> int:
    """Run a backtest; 0 replayed, 2 wrong input, 3 Prometheus can't be asked."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("urllib3").setLevel(logging.ERROR)  # it tells of each retry
    try:
        setting = _setting(arguments)
        check(setting)
        found = _replay(arguments, setting)
        _print(arguments, found)
    except (InputError, ManifestError, RecordingError, PlanError, UnfitError) as error:
        print(f"no backtest: {error}", file=sys.stderr)
        return WRONG_INPUT
    except OSError as error:
        print(f"no backtest: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return WRONG_INPUT
    except HistoryError as error:
        print(f"no backtest: {error}; is --prometheus right?", file=sys.stderr)
        return CAN_NOT_ASK
    return 0


def _setting(arguments: argparse.Namespace) -> Setting:
    manifests = read_manifests([(path.name, _text(path)) for path in (arguments.rollout, *arguments.templates)])
    rollout = _rollout(arguments, manifests)
    templates = dict(manifests.templates)
    missing = {i.template_ref for i in rollout.spec.indicators if i.template_ref} - templates.keys()
    users = _users(arguments, manifests, rollout)
    wants_users = rollout.spec.audience.directory is not None and users is None
    if missing or wants_users:
        known, listed = asyncio.run(_from_cluster(arguments.kubeconfig, rollout, missing, wants_users=wants_users))
        templates |= known
        users = users if users is not None else listed
    return Setting(
        rollout=rollout,
        templates=templates,
        users=users,
        incidents=manifests.incidents_of(rollout),
        delivery_seconds=arguments.delivery_delay.total_seconds(),
        arms=None if arguments.treatment == "auto" else arguments.treatment,
        every_seconds=arguments.every.total_seconds(),
        follow_seconds=arguments.follow.total_seconds() if arguments.follow else None,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        msg = f"{path} is no text"
        raise InputError(msg) from error


def _rollout(arguments: argparse.Namespace, manifests: Manifests) -> PilotRollout:
    if len(manifests.rollouts) != 1:
        names = ", ".join(rollout.metadata.name for rollout in manifests.rollouts) or "none"
        msg = f"{arguments.rollout} must hold exactly one PilotRollout (it has: {names})"
        raise InputError(msg)
    [rollout] = manifests.rollouts
    namespace = rollout.metadata.namespace or arguments.namespace or "default"
    return rollout.model_copy(update={"metadata": rollout.metadata.model_copy(update={"namespace": namespace})})


def _users(arguments: argparse.Namespace, manifests: Manifests, rollout: PilotRollout) -> tuple[User, ...] | None:
    directory = rollout.spec.audience.directory
    if directory is None:
        return None
    if arguments.users is not None:
        name, document = str(arguments.users), _text(arguments.users)
    else:
        name = f"{DOCUMENT} of ConfigMap {directory.config_map}"
        document = manifests.config_maps.get(directory.config_map, {}).get(DOCUMENT, "")
    if not document:
        return None
    try:
        return read_users(document)
    except ValueError as error:
        msg = f"{name}: {error}"
        raise InputError(msg) from error


async def _from_cluster(
    kubeconfig: Path | None, rollout: PilotRollout, missing: set[str], *, wants_users: bool
) -> tuple[Mapping[str, IndicatorTemplateSpec], tuple[User, ...] | None]:
    """What no file holds."""
    wanted = [*(f"IndicatorTemplate {name}" for name in sorted(missing))]
    wanted += ["the users of spec.audience.directory"] if wants_users else []
    remedy = "give --templates FILE" if missing else "give --users FILE"
    what = f"no file holds {', '.join(wanted)}: {remedy}, or a cluster by --kubeconfig"
    try:
        async with await Kube.connect(kubeconfig) as kube:
            listed = await kube.get(IndicatorTemplate.path()) if missing else {}
            read = [IndicatorTemplate.model_validate(item) for item in listed.get("items", ())]
            directory = rollout.spec.audience.directory
            users = None
            if wants_users and directory:
                users = await read_directory(kube, rollout.metadata.namespace, directory.config_map)
    except (KubeError, DirectoryError) as error:
        msg = f"{what} ({error})"
        raise InputError(msg) from error
    return {template.metadata.name: template.spec for template in read}, users


def _replay(arguments: argparse.Namespace, setting: Setting) -> Backtest:
    ticker = _Ticker(quiet=arguments.quiet)
    with _api(arguments) as (api, span):
        history = History(api, span.since, span.until, ticker.fetching)
        trials = trials_of(setting, history)
        return backtest(setting, history, tell=replace(trials, progress=ticker.replaying))


@contextmanager
def _api(arguments: argparse.Namespace) -> Iterator[tuple[QueryApi, Span]]:
    """Prometheus, what records it, or a file; and the range."""
    if arguments.replay is not None:
        if arguments.prometheus or arguments.record:
            msg = "--replay runs from a file: leave --prometheus and --record away"
            raise InputError(msg)
        recording = read_recording(arguments.replay)
        yield recording, _span(arguments, recording)
        return
    if not arguments.prometheus:
        msg = "give --prometheus URL, or --replay FILE"
        raise InputError(msg)
    span = _span(arguments, None)
    client = PrometheusClient(
        arguments.prometheus, token_file=arguments.prometheus_token_file, ca_file=arguments.prometheus_ca_file
    )
    try:
        if arguments.record is None:
            yield client, span
            return
        with open_recording(arguments.record, "w") as file:
            recorder = Recorder(client, file, span)
            yield recorder, span
            recorder.close()
    finally:
        client.close()


def _span(arguments: argparse.Namespace, recording: Recording | None) -> Span:
    now = datetime.now(UTC)
    known = recording.span if recording else None
    since = arguments.since or (known.since if known else None)
    until = arguments.until or (known.until if known else now)
    if since is None:
        msg = "give --from TIME, such as --from 7d"
        raise InputError(msg)
    if since >= until:
        msg = f"--from {since.isoformat()} is not before --to {until.isoformat()}"
        raise InputError(msg)
    if known and not (known.since <= since and until <= known.until):
        msg = f"{arguments.replay} holds {known.since.isoformat()} to {known.until.isoformat()}: ask for a part of that"
        raise InputError(msg)
    if known is None and until > now:
        msg = f"--to {until.isoformat()} lies in the future"
        raise InputError(msg)
    return Span(since.astimezone(UTC), until.astimezone(UTC))


def _print(arguments: argparse.Namespace, found: Backtest) -> None:
    if arguments.report is not None:
        from pilotage.backtest.page import write_report  # noqa: PLC0415 - draws, an optional extra

        write_report(found, arguments.report)
    if arguments.format == "json":
        print(json.dumps(to_json(found), indent=2))
    else:
        print(tell(found), end="")


class _Ticker:
    """Tells on stderr how far it is, every other second."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._told_at = time.monotonic()

    def fetching(self, what: str) -> None:
        """Something is fetched."""
        self._tell(f"fetching {what[:100]}")

    def replaying(self, done: int, of: int) -> None:
        """So many starts are done."""
        self._tell(f"replayed {done} of {of} starts")

    def _tell(self, text: str) -> None:
        now = time.monotonic()
        if not self._quiet and now - self._told_at >= _TELL_SECONDS:
            print(text, file=sys.stderr, flush=True)
            self._told_at = now
