"""Groups of commands whose help is for people: it says of no option that it is a `<bool>` or a `<list[str]>`."""

from typing import Any

from typer.core import TyperGroup


class Group(TyperGroup):
    """A group of commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        """List the options of the group itself."""
        options = _plain(super().get_params(ctx))
        for option in options:
            # To see that None, which typer gives --install-completion, is no bool it loads pydantic: .07 s of a start.
            if option.is_flag and option.default is None:
                option.default = False
        return options

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find a command."""
        command: Any = super().get_command(ctx, cmd_name)
        if command is not None:
            _plain(command.get_params(ctx))
        return command


def _plain(options: list[Any]) -> list[Any]:
    """Say in plain words what options take: flags nothing, those that may be repeated one text each time."""
    for option in options:
        if getattr(option, "is_flag", False):
            option.metavar = ""
        elif getattr(option, "multiple", False):
            option.metavar = "<str>"
    return options
