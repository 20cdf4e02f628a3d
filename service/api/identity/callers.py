"""Callers of routes, by what they must be allowed: ``MayBackup`` is a parameter that only lets such callers through."""

from typing import Annotated

from fastapi import Depends

from .auth import Caller, Needs

#: What has no action of its own is read, or an administrator's.
Viewer = Annotated[Caller, Depends(Needs("read"))]
Admin = Annotated[Caller, Depends(Needs("administer"))]
MayBackup = Annotated[Caller, Depends(Needs("backup"))]
MayVerify = Annotated[Caller, Depends(Needs("verify"))]
MayDrill = Annotated[Caller, Depends(Needs("drill"))]
MayCancel = Annotated[Caller, Depends(Needs("cancel"))]
MayRestore = Annotated[Caller, Depends(Needs("restore"))]
MayUndo = Annotated[Caller, Depends(Needs("undo"))]
MayValidatePassword = Annotated[Caller, Depends(Needs("validate-password"))]
MayDownload = Annotated[Caller, Depends(Needs("download"))]
MayInspect = Annotated[Caller, Depends(Needs("inspect"))]
MayPin = Annotated[Caller, Depends(Needs("pin"))]
MayDelete = Annotated[Caller, Depends(Needs("delete"))]
MayChangeSettings = Annotated[Caller, Depends(Needs("settings"))]
MayTestConnection = Annotated[Caller, Depends(Needs("test-connection"))]
MayTestNotifications = Annotated[Caller, Depends(Needs("test-notifications"))]
