# bash completion of outlook-monitor
_outlook_monitor() {
	local IFS=$'\n'
	# shellcheck disable=SC2207 # a candidate a line
	COMPREPLY=($("${COMP_WORDS[0]}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _outlook_monitor outlook-monitor
