#compdef outlook-monitor
# zsh completion of outlook-monitor
_outlook-monitor() {
	local -a found
	found=(${(f)"$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
	if (( ${#found} )); then
		compadd -a found
	else
		_files
	fi
}
if [ "${funcstack[1]}" = _outlook-monitor ]; then
	_outlook-monitor "$@"
else
	compdef _outlook-monitor outlook-monitor
fi
