package store

import "github.com/alicebob/miniredis/v2"

// Embedded is a Redis inside this process. Its data is lost at exit, and nothing expires.
type Embedded struct{ server *miniredis.Miniredis }

// StartEmbedded starts a Redis inside this process, on a free loopback port.
func StartEmbedded() (*Embedded, error) {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		return nil, err
	}
	return &Embedded{server}, nil
}

// URL returns the URL for [Open].
func (e *Embedded) URL() string { return "redis://" + e.server.Addr() }

// Close stops the server and discards its data.
func (e *Embedded) Close() { e.server.Close() }
