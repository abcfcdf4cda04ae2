//go:build !linux

package programtest

import "syscall"

// dieWithParent does nothing: only Linux can kill a child when its parent dies.
func dieWithParent(attr *syscall.SysProcAttr) *syscall.SysProcAttr { return attr }
