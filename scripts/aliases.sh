# The tools by name, from any folder: `. scripts/aliases.sh`, in bash or zsh. Each
# is built before it runs, where something changed.
# shellcheck shell=bash

if [ -n "${ZSH_VERSION:-}" ]; then
  # bash could not even read zsh's way to the name of a sourced file.
  eval 'OPS_HOME=${${(%):-%x}:A:h:h}'
else
  OPS_HOME=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fi
export OPS_HOME

for _ops_crate in "$OPS_HOME"/crates/*/src/main.rs; do
  _ops_tool=${_ops_crate%/src/main.rs}
  _ops_tool=${_ops_tool##*/}
  # An alias of the same name would be taken for the function's.
  unalias "$_ops_tool" 2>/dev/null || true
  eval "$_ops_tool() { cargo run --quiet --manifest-path \"\$OPS_HOME/Cargo.toml\" -p $_ops_tool -- \"\$@\"; }"
done
unset _ops_crate _ops_tool
