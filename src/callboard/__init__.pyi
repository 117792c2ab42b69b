from callboard.config import Config as Config
from callboard.domain.turn import Reply as Reply
from callboard.errors import CallboardError as CallboardError
from callboard.errors import ToolError as ToolError
from callboard.runtime import Runtime as Runtime
from callboard.runtime import open_runtime as open_runtime
from callboard.serving.assembly import build_app as build_app
from callboard.tools.function import tool as tool
