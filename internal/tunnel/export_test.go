package tunnel

import "time"

// Hurry makes an agent ask all the time.
func (a *Agent) Hurry() { a.every = time.Millisecond }
