package graph

import "time"

// TokenExpires returns when the token at hand expires; zero if there is none.
func (c *Client) TokenExpires() time.Time {
	held := c.door.tokens.current.Load()
	if held == nil {
		return time.Time{}
	}
	return held.expires
}
