package graph

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// ask sends a request of our own and returns the body of the answer in a buffer,
// which the caller gives back with [Client.release]. body is not pooled: a
// transport may still read it when it has the answer.
func (c *Client) ask(ctx context.Context, method, path string, body []byte) (*bytes.Buffer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.endpoint+version+path, http.NoBody)
	if err != nil {
		return nil, notSent(withoutURL(err))
	}
	req.Header["Accept"] = typeJSON
	if body != nil {
		req.Header["Content-Type"] = typeJSON
	}
	resp, err := c.door.call(req, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	buffer, ok := c.buffers.Get().(*bytes.Buffer)
	if !ok {
		buffer = new(bytes.Buffer)
	}
	_, err = buffer.ReadFrom(resp.Body)
	switch {
	case err != nil:
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	case !strings.Contains(resp.Header.Get("Content-Type"), "json"):
		err = fmt.Errorf("%w: %w", errUnreadable, errNotGraph)
	}
	if err != nil {
		c.release(buffer)
		return nil, err
	}
	return buffer, nil
}

var typeJSON = []string{"application/json"}

// errNotGraph is what a proxy's page is.
var errNotGraph = errors.New("the answer is not Graph's")

// mostPooled keeps one giant answer from staying in memory for good.
const mostPooled = 1 << 20

func (c *Client) release(buffer *bytes.Buffer) {
	if buffer.Cap() > mostPooled {
		return
	}
	buffer.Reset()
	c.buffers.Put(buffer)
}
