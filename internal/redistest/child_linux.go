package redistest

import "syscall"

// dying makes a child end with the thread that started it.
func dying() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
