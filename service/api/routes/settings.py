"""The settings: read by everybody with a role, changed by administrators. Secrets go in and never come out."""

from ....stages.errors import ConfigurationError
from ...control.settings import VersionConflict
from ..bodies import setting_models
from ..identity.callers import MayChangeSettings
from ..problems import ApiError
from .shared import TheService, Viewer, problems, router_of, unusable

router = router_of("/api/backup/settings", "settings")


@router.get("", responses=problems(409, 502))
async def get_settings(service: TheService, _: Viewer) -> setting_models.SettingsView:
    """The settings; of the two secrets only whether they are there."""
    return setting_models.SettingsView.of(*await service.settings.get())


@router.put("", responses=problems(409, 502))
async def put_settings(
    service: TheService, caller: MayChangeSettings, change: setting_models.SettingsChange
) -> setting_models.SettingsView:
    """Change settings; what is left out stays as it is. Audited, by the names of what changed."""
    try:
        stored = await service.settings.put(setting_models.plain(change), change.version, caller.actor)
    except VersionConflict as exc:
        title = "The settings were changed meanwhile"
        raise ApiError(409, "settings-changed", title, exc.message, exc.hint or "Read them again.") from None
    except ConfigurationError as exc:
        raise unusable(exc) from None
    return setting_models.SettingsView.of(*stored)
