package store

import "github.com/alicebob/miniredis/v2"

// Embedded is a Redis inside this process. Its state is gone at exit, and until then
// nothing expires.
type Embedded struct{ server *miniredis.Miniredis }

// StartEmbedded starts a Redis inside this process, on a free loopback port.
func StartEmbedded() (*Embedded, error) {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		return nil, err
	}
	return &Embedded{server}, nil
}

// URL is what [Open] takes.
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() }

// Close ends it, with all that it holds.
func (e *Embedded) Close() { e.server.Close() }
