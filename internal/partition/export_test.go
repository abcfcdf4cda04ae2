package partition

import "time"

// SetWall replaces the wall clock.
func SetWall(o *Owners, wall func() time.Time) { o.wall = wall }
