"""Groups of commands whose help says of a flag what it does, and not that it is a `<bool>`."""

from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List the options of the group itself."""
        options: list[Any] = super().get_params(ctx)
        for flag in _untyped(options):
            # To see that None, which typer gives --install-completion, is no bool it loads pydantic: .07 s of a start.
            flag.default = False if flag.default is None else flag.default
        return options

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command."""
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None:
            _untyped(command.get_params(ctx))
        return command


def _untyped(options: list[Any]) -> list[Any]:
    """Leave out the type of flags; gives them."""
    flags = [option for option in options if getattr(option, "is_flag", False)]
    for flag in flags:
        flag.metavar = ""
    return flags
