package main

import (
	"fmt"
	"net"
	"strings"

	"github.com/gin-gonic/gin"

	"outlook-monitor/internal/config"
	"outlook-monitor/internal/server"
	"outlook-monitor/internal/webhook"
)

// registerReceiver adds the routes for Graph, also below the path of PUBLIC_URL, which a proxy
// may keep or remove.
func registerReceiver(receiver *webhook.Receiver, engine *gin.Engine, publicURL config.Secret) {
	receiver.Register(engine)
	if path := publicURL.URL().Path; strings.Trim(path, "/") != "" {
		receiver.Register(engine.Group(path))
	}
}

// listen opens a listener at the address of a setting, unless it is open already.
func (s *service) listen(setting, address string, l server.Listener) (err error) {
	if l.Listener == nil {
		if l.Listener, err = net.Listen("tcp", address); err != nil {
			return fmt.Errorf("listen: %w: choose another %s", err, setting)
		}
	}
	s.closers = append(s.closers, l.Close)
	s.listeners = append(s.listeners, l)
	return nil
}
