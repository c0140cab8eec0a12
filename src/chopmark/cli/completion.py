"""``chopmark completion``: the script that teaches a shell to complete."""

from __future__ import annotations

from typing import ClassVar

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete, add_completion_class

from chopmark.cli.command import command

__all__ = ["ReferenceBashComplete", "completion"]

VARIABLE = "_CHOPMARK_COMPLETE"

# Bash ends a word at ':' and '@' (COMP_WORDBREAKS), which stand inside a reference. The line is therefore cut at blanks
# here, and what bash takes for finished words is cut off the front of each answer.
_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" words current breaks head response type value
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    current="${words[${#words[@]}-1]}"
    breaks="${COMP_WORDBREAKS//[^:=@]/}"
    head=""
    [[ -n $breaks && $current == *["$breaks"]* ]] && head="${current%%"${current##*["$breaks"]}"}"
    response=$(COMP_WORDS="$line" COMP_CWORD=$((${#words[@]}-1)) %(complete_var)s=bash_complete "$1")
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain)
                [[ $value == *@ ]] && compopt -o nospace
                COMPREPLY+=("${value#"$head"}") ;;
        esac
    done <<< "$response"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class ReferenceBashComplete(BashComplete):
    """Completion in bash of words that have ``:`` and ``@`` in them."""

    source_template: ClassVar[str] = _BASH

    def source(self) -> str:
        """Give the script; bash itself is not started to ask for its version."""
        return ShellComplete.source(self)


_SHELLS: dict[str, type[ShellComplete]] = {
    "bash": ReferenceBashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}

add_completion_class(ReferenceBashComplete)


@command(
    "completion",
    examples="""
    source <(chopmark completion bash)             for this shell; bash 4.4 or newer
    chopmark completion bash >> ~/.bashrc          for good
    chopmark completion zsh > ~/.zfunc/_chopmark
    chopmark completion fish > ~/.config/fish/completions/chopmark.fish
    """,
)
@click.argument("shell", type=click.Choice(list(_SHELLS)), help="The shell.")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    It completes commands and options, and names, references, stages and aliases that are in the
    registry.
    """
    complete = _SHELLS[shell](ctx.find_root().command, {}, "chopmark", VARIABLE)
    click.echo(complete.source(), nl=False)
