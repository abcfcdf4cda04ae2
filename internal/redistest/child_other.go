//go:build !linux

package redistest

import "syscall"

// dying does nothing here: only Linux ends a child with its parent.
func dying() *syscall.SysProcAttr { return nil }
