package tunnel

import "time"

// SetInterval sets the time between two requests to the agent.
func (a *Agent) SetInterval(d time.Duration) { a.interval = d }
