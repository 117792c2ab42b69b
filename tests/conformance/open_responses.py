"""The published description of Open Responses, as something that an answer can be held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.oracles.responses_lifecycle import Data

FILE = Path(__file__).parent.parent / "data" / "openresponses" / "openapi-2026-04-24.json"
_NAME = "urn:open-responses"


class Description:
    """The schemas by their names, those of events by their types too."""

    def __init__(self) -> None:
        document = json.loads(FILE.read_text())
        registry: Registry[Any] = Registry().with_resource(
            _NAME, Resource.from_contents(document, default_specification=DRAFT202012)
        )
        self.schemas: Data = document["components"]["schemas"]
        self._validators = {
            name: Draft202012Validator({"$ref": f"{_NAME}#/components/schemas/{name}"}, registry=registry)
            for name in self.schemas
        }
        answers = document["paths"]["/responses"]["post"]["responses"]["200"]["content"]
        names = [each["$ref"].rpartition("/")[2] for each in answers["text/event-stream"]["schema"]["oneOf"]]
        self.events: dict[str, str] = {
            self.schemas[name]["properties"]["type"]["enum"][0]: name for name in names
        }

    def faults(self, name: str, document: object) -> list[str]:
        """Where ``document`` is not what the schema describes."""
        found = self._validators[name].iter_errors(document)
        return [f"{name}: {error.json_path}: {error.message}" for error in found]

    def faults_of_event(self, event: Data, *, socket: bool = False) -> list[str]:
        """Where an event is not what is described; that of an error differs with what carries it."""
        kind = str(event.get("type"))
        if socket and kind == "error":
            return self.faults("WebSocketErrorEvent", event)
        if kind not in self.events:
            return [f"there is no event {kind!r}"]
        return self.faults(self.events[kind], event)


DESCRIPTION = Description()
