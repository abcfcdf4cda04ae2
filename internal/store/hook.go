package store

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// hook reports every command.
type hook struct {
	observe func(command string, took time.Duration, err error)
}

// DialHook reports nothing: a connection is not a command.
func (hook) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook reports one command by its name.
func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmd)
		h.observe(cmd.Name(), time.Since(began), failure(err))
		return err
	}
}

// ProcessPipelineHook reports each command of a pipeline with the pipeline's time.
func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		began := time.Now()
		err := next(ctx, cmds)
		took := time.Since(began)
		for _, cmd := range cmds {
			h.observe(cmd.Name(), took, failure(cmd.Err()))
		}
		return err
	}
}

// failure leaves out that a key does not exist, and that a script has to be sent.
func failure(err error) error {
	if errors.Is(err, redis.Nil) || redis.HasErrorPrefix(err, "NOSCRIPT") {
		return nil
	}
	return err
}
