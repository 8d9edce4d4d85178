"""The application for other servers: `uvicorn --factory kembar.service.factory:from_environment`.

The store is opened in the process that serves. One process holds a store, so such a server must have one worker: a
second one ends with the message that the store is in use.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from fastapi import FastAPI

from kembar.errors import ConfigError
from kembar.service.app import create_app
from kembar.service.settings import Settings, find_token
from kembar.store import Live

STORE_VARIABLE = "KEMBAR_STORE"


def from_environment(environment: Mapping[str, str] = os.environ) -> FastAPI:
    """Make the application from variables: KEMBAR_STORE, the folder; KEMBAR_TOKEN; KEMBAR_HOSTS, names with commas.

    Raises:
        ConfigError: no folder is named, or the token is too short.
    """
    folder = environment.get(STORE_VARIABLE, "")
    if not folder:
        raise ConfigError(f"no {STORE_VARIABLE}", "the folder of a store", f"Set {STORE_VARIABLE} to it.")
    hosts = tuple(name.strip() for name in environment.get("KEMBAR_HOSTS", "").split(",") if name.strip())
    settings = Settings(token=find_token(None, environment), hosts=hosts)
    return create_app(lambda: Live.open(Path(folder)), settings)
