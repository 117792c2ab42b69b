"""Tools the assistant can use: where they come from, and how a Python function becomes one."""

from callboard.tools.context import ToolContext
from callboard.tools.function import FunctionTool, FunctionTools, tool
from callboard.tools.source import ToolSource, ToolTraits, unknown_tool

__all__ = ["FunctionTool", "FunctionTools", "ToolContext", "ToolSource", "ToolTraits", "tool", "unknown_tool"]
