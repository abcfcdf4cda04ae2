// Package faults holds no code, only the fault matrix: a suite that breaks what
// the built program stands on, or the program itself, in the middle of a stream
// of changes, and then looks whether everybody was told the truth.
//
// Each cell is a world of its own: two replicas of the program behind one
// address, a redis-server (or several), a local Graph and a mediator. Its users'
// automatic replies change at random; at a random moment the cell's fault comes,
// and some time later it goes. Once all is quiet again, this must hold:
//
//   - the last state that the mediator acknowledged for a user is the mailbox's;
//   - the mediator was never brought an older state after a newer one;
//   - each user has one living subscription, and none is left over;
//   - the history tells of each state whether it was delivered or overtaken;
//   - nothing was delivered twice, unless a process was killed or an answer lost.
//
// go test runs the short form, the cells most likely to break; scripts/faults
// --long runs all of them. A row is printed for each cell. FAULTS_SEED chooses
// other changes and moments.
package faults
