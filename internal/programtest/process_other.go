//go:build !linux

package programtest

import "syscall"

// endWithParent changes nothing: only Linux ends a child with its parent.
func endWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }
