package tunnel

import "time"

// Explain returns what [Account.Open] returns for an error of ngrok's SDK.
func Explain(err error) error { return explain(err) }

// SetInterval sets the time between two requests to the agent.
func (a *Agent) SetInterval(d time.Duration) { a.interval = d }
