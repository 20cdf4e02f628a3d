"""What is killed, and what must be true afterwards. Each judgement ends with the work done by the next command."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import anyio

from kleidia_backup.stages.vault.undo.journal import unfinished
from tests.faults.proxy import Strike, http_proxy, stall, vault_operation
from tests.faults.site import PASSWORD
from tests.faults.site import contents as content_of

from .commands import Ran, Wrong
from .leftovers import gone, nothing_left, processes_ended
from .place import AGES, DAYS, NEW_PASSWORD, Format, Place, Store, opened

Operation: TypeAlias = Literal["backup", "restore", "undo", "rewrap", "drill", "retention"]
#: What was there after a kill. ``finished``: the command had ended before it.
Found: TypeAlias = Literal["finished", "identical", "untouched", "undone", "partly"]
#: Secrets that a restore has written when it is killed, for an undo to put back; there are a few more.
WRITTEN = 6
#: The exit status of a command that refuses, for a restore is unfinished.
REFUSED = 9
#: That of one whose password opens nothing.
WRONG_PASSWORD = 4


@dataclass(frozen=True)
class Cell:
    """What is killed: an operation, with archives of a format in a store. ``target`` is that of a drill."""

    operation: Operation
    format: Format
    store: Store
    target: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.operation, self.target, self.format, self.store)))


@dataclass
class Trial:
    """One kill on one place."""

    cell: Cell
    place: Place

    @property
    def configuration(self) -> Path:
        """The command's configuration."""
        return self.place.configuration(self.cell.store)

    @property
    def archive(self) -> str:
        """The newest archive that is there at the beginning."""
        return next(iter(self.place.archives[self.cell.format]))

    @property
    def arguments(self) -> tuple[str, ...]:
        """The command that is killed."""
        return {
            "backup": ("backup", "--format", self.cell.format),
            "restore": ("restore", self.archive, "--yes"),
            "undo": ("restore", "--undo"),
            "rewrap": ("rewrap", self.archive, "--new-password-file", str(self.place.secret_file(NEW_PASSWORD))),
            "drill": ("drill", self.archive, "--target", self.cell.target),
            "retention": ("retention",),
        }[self.cell.operation]

    def prepare(self) -> None:
        """What is there before."""
        shutil.rmtree(self.place.state)
        self.place.state.mkdir(mode=0o700)
        archives = self.place.archives[self.cell.format]
        some = archives if self.cell.operation == "retention" else {self.archive: archives[self.archive]}
        self.place.put(self.cell.store, {} if self.cell.operation == "backup" else some)
        if self.cell.operation == "undo":
            anyio.run(self._unfinished_restore)

    def killed(self, after: float) -> Ran:
        """Run the command, and kill it unless it has ended by then."""
        return self.run(*self.arguments, kill_after=after).must(0, -9)

    def run(self, *arguments: str, kill_after: float | None = None, aged: bool = False) -> Ran:
        """Run a command."""
        return self.place.commands.run(self.configuration, *arguments, kill_after=kill_after, aged=aged)

    def judge(self, ran: Ran) -> tuple[Found, Ran]:
        """What the kill has left, and the command that did its work afterwards. Raises ``Wrong``."""
        processes_ended(self.place)
        judges: dict[Operation, Callable[[], tuple[Found, Ran]]] = {
            "backup": self._backup,
            "restore": self._restore,
            "undo": self._undo,
            "rewrap": self._rewrap,
            "drill": self._drill,
            "retention": self._retention,
        }
        found, after = judges[self.cell.operation]()
        nothing_left(self.place, self.cell.store)
        if ran.status == 0 and found != "identical":
            raise Wrong(f"it ended with 0, and what is there is {found}")
        return ("finished" if ran.status == 0 else found), after

    # Each of them ---------------------------------------------------------------------------------------------------

    def _backup(self) -> tuple[Found, Ran]:
        """A whole archive, or none; the next backup works, and removes what lies there for longer than a day."""
        self._same_system(self.place.site.wrecked)
        before = self._archives({})
        unfinished_ones = self.place.unfinished(self.cell.store)
        if len(before) > 1 or len(unfinished_ones) > 1:
            raise Wrong(f"it left {sorted(before)} and {unfinished_ones}")
        # An archive that has its name may still have its temporary one: that is the same file.
        after = self.run(*self.arguments, aged=True).must(0)
        now = self._archives(before)
        if len(now) != len(before) + 1 or not before.keys() <= now.keys():
            raise Wrong(f"after {sorted(before)} the next backup left {sorted(now)}")
        return ("identical" if before else "untouched"), after

    def _restore(self) -> tuple[Found, Ran]:
        """As the archive, or as before; what an undo has to put back, it puts back; the next restore works."""
        site = self.place.site
        restored = site.database.state() == site.original[0]
        undone = self._undone(restored=restored)
        self._same_system(site.original if restored else site.wrecked)
        self._same_archives()
        if restored:
            self._wreck()
        after = self.run("restore", self.archive, "--yes").must(0)
        self._same_system(site.original)
        self._wreck()
        return ("undone" if undone and not restored else "identical" if restored else "untouched"), after

    def _undo(self) -> tuple[Found, Ran]:
        """The undo is done, or the next one does it; then a restore works."""
        site = self.place.site
        left = bool(unfinished(self.place.state))
        if left:
            after = self.run("restore", "--undo").must(0)
            if after.result["committed"]:
                raise Wrong("the undo takes a restore for committed that was not")
        self._same_system(site.wrecked)
        self._same_archives()
        again = self.run("restore", self.archive, "--yes").must(0)
        self._same_system(site.original)
        self._wreck()
        return ("undone" if left else "identical"), (after if left else again)

    def _rewrap(self) -> tuple[Found, Ran]:
        """The archive opens by its old password or by the new one; what lies there goes with the next backup."""
        data = self._only_object()
        changed = data != self.place.archives["v2"][self.archive]
        self._opens_by(data, NEW_PASSWORD if changed else PASSWORD, PASSWORD if changed else NEW_PASSWORD)
        if changed:
            self.place.put(self.cell.store, {self.archive: self.place.archives["v2"][self.archive]})
        after = self.run(*self.arguments).must(0)
        self._opens_by(self._only_object(), NEW_PASSWORD, PASSWORD)
        if left := self.place.unfinished(self.cell.store):
            if len(left) > 1:
                raise Wrong(f"it left {left}")
            self.run("backup", "--type", "vault", aged=True).must(0)
        return ("identical" if changed else "untouched"), after

    def _drill(self) -> tuple[Found, Ran]:
        """The live system and the archive are as before; the next drill proves it, and nothing is left after that."""
        site = self.place.site
        self._same_system(site.wrecked)
        self._same_archives()
        reports = self._reports()
        gone(self.place)
        after = self.run(*self.arguments, aged=True).must(0)
        if after.result["verdict"] != "proven" or self._reports() != reports + 1:
            raise Wrong(f"the next drill: {after.stdout}")
        self.run("drill", "--check-reports").must(0)
        self._same_system(site.wrecked)
        return ("identical" if reports else "untouched"), after

    def _retention(self) -> tuple[Found, Ran]:
        """What stays is there, what goes is there or gone, and the next one removes the rest."""
        archives = self.place.archives[self.cell.format]
        stay = {name: data for (name, data), days in zip(archives.items(), AGES, strict=True) if days <= DAYS}
        now = self.place.objects(self.cell.store)
        if not stay.items() <= now.items() <= archives.items():
            raise Wrong(f"of {sorted(archives)} there are {sorted(now)}")
        self.run("verify", min(now)).must(0)  # the oldest; to the byte all are what they were
        after = self.run(*self.arguments).must(0)
        if self.place.objects(self.cell.store) != stay:
            raise Wrong(f"of {sorted(archives)} there are {sorted(self.place.objects(self.cell.store))} at the end")
        return ("untouched" if now == archives else "identical" if now == stay else "partly"), after

    # What they share ------------------------------------------------------------------------------------------------

    def _same_system(self, state: tuple[object, object]) -> None:
        now = self.place.site.state()
        for what, one, other in zip(("database", "vault"), now, state, strict=True):
            if one != other:
                raise Wrong(f"the {what} is not as it must be: {one!r:.1500} is not {other!r:.1500}")

    def _same_archives(self) -> None:
        name = self.archive
        if self.place.objects(self.cell.store) != {name: self.place.archives[self.cell.format][name]}:
            raise Wrong("the archive is another")

    def _archives(self, known: dict[str, bytes]) -> dict[str, bytes]:
        """What the command lists: what is not known verifies, and holds the system as it is."""
        listed = [each["name"] for each in self.run("list").must(0).result["archives"]]
        found = self.place.objects(self.cell.store)
        if sorted(name.rpartition("/")[2] for name in listed) != sorted(found):
            raise Wrong(f"listed are {listed}, there are {sorted(found)}")
        for name in found.keys() - known.keys():
            self.run("verify", name).must(0)
            if content_of(found[name], quick=True) != self.place.site.content:
                raise Wrong(f"{name} does not hold what was backed up")
        return found

    def _only_object(self) -> bytes:
        found = self.place.objects(self.cell.store)
        if found.keys() != {self.archive}:
            raise Wrong(f"there are {sorted(found)}")
        return found[self.archive]

    def _opens_by(self, data: bytes, password: str, other: str) -> None:
        if opened(data, password) != opened(self.place.archives["v2"][self.archive], PASSWORD):
            raise Wrong("the archive does not hold what it did")
        for each, status in ((password, 0), (other, WRONG_PASSWORD)):
            configuration = self.place.configuration(self.cell.store, password=each)
            self.place.commands.run(configuration, "verify", self.archive).must(status)

    def _reports(self) -> int:
        return len(list((self.place.state / "drills").glob("*.json")))

    def _undone(self, *, restored: bool) -> bool:
        """Undo what a restore has left, if it has; whether it had."""
        if not unfinished(self.place.state):
            return False
        self.run("restore", self.archive, "--yes").must(REFUSED)
        if self.run("restore", "--undo").must(0).result["committed"] != restored:
            raise Wrong("the undo does not know whether the restore was committed")
        return True

    def _wreck(self) -> None:
        self.place.site.wreck_database()
        self.place.site.wreck_vault()
        self._same_system(self.place.site.wrecked)

    async def _unfinished_restore(self) -> None:
        """Kill a restore of which some secrets are written, and the rest never arrive."""
        async with http_proxy(self.place.site.vault.address, vault_operation) as proxy:
            silent = Strike({WRITTEN}, ever=True, only="POST data")
            proxy.plan = silent, stall
            configuration = self.place.configuration(self.cell.store, vault=proxy.endpoint)
            running = self.place.commands.start(configuration, "restore", self.archive, "--yes")
            try:
                with anyio.fail_after(60):
                    await silent.struck.wait()
            finally:
                running.end()
        if not unfinished(self.place.state):
            raise Wrong("a restore that had written secrets left no journal")
