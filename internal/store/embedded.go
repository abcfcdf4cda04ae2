package store

import "github.com/alicebob/miniredis/v2"

// StartEmbedded starts a Redis inside this process, on a free loopback port, and returns its
// URL for [Open]. Its data is lost when it stops, and nothing expires.
func StartEmbedded() (url string, stop func(), err error) {
	server, err := miniredis.Run()
	if err != nil {
		return "", nil, err
	}
	return "redis://" + server.Addr(), server.Close, nil
}
