package subscribe

import (
	"context"
	"errors"
	"time"

	"outlook-monitor/internal/ooo"
)

// lookAgain is how often a user whose mailbox another one covers makes sure that
// it still does.
const lookAgain = 10 * time.Minute

// place finds out who else the mailbox of a claim's user is monitored for, and
// notes in user who covers it. It is asked before each plan, because the owner may
// leave at any time, or have another mailbox by now. Whoever ought to take over is
// made due.
func (s *Subscriber) place(ctx context.Context, c ooo.Claim, user *ooo.User) (ooo.Mailbox, error) {
	if user.Active {
		if user.Person.ID == "" {
			return ooo.Mailbox{}, nil
		}
		if user.Mailbox != "" && user.Mailbox != user.Person.ID {
			if _, err := s.part(ctx, user); err != nil {
				return ooo.Mailbox{}, err
			}
		}
		box, err := s.cfg.Store.JoinMailbox(ctx, c, *user)
		if user.CoveredBy = box.Owner; box.Owner == user.Key {
			user.CoveredBy = ""
		}
		return box, err
	}
	return s.part(ctx, user)
}

// part has the others of the mailbox that a user leaves see who covers it now.
func (s *Subscriber) part(ctx context.Context, user *ooo.User) (ooo.Mailbox, error) {
	box, err := s.cfg.Store.PartMailbox(ctx, *user)
	if err == nil && user.CoveredBy == "" && len(box.Others) > 0 {
		err = s.wake(ctx, box.Others...)
	}
	return box, err
}

func (s *Subscriber) wake(ctx context.Context, keys ...ooo.Key) error {
	if len(keys) == 0 {
		return nil
	}
	marks := make([]ooo.Mark, len(keys))
	for i, key := range keys {
		marks[i] = ooo.Mark{Key: key, Source: ooo.SourcePoll}
	}
	_, err := s.cfg.Store.Mark(ctx, ooo.SubscribeQueue, marks...)
	return err
}

// taken tells the other users of the mailbox that a subscription has to make way:
// it may be in the record of one of them, who then looks who owns the cover.
func (w work) taken(ctx context.Context, id ooo.SubscriptionID) error {
	for _, other := range w.box.Others {
		event := ooo.Lifecycle{SubscriptionID: id, Kind: ooo.SubscriptionWasRemoved, At: w.clock()}
		if err := w.cfg.Store.Heard(ctx, other, event); err != nil {
			return err
		}
	}
	return nil
}

// yield tells the owner of the cover that it has none, where that is sure. Graph
// takes only one: so if the subscription that was just taken away lived, or if it
// was the younger of the two, what the owner's record says is of the past. The
// second holds as well when a process died after the first half of this step.
func (w work) yield(ctx context.Context, past ooo.Subscription, lived bool) error {
	owner, err := w.cfg.Store.User(ctx, w.user.CoveredBy)
	if errors.Is(err, ooo.ErrNotMonitored) {
		return nil
	}
	if err != nil {
		return errors.Join(ooo.ErrStale, err)
	}
	for _, sub := range owner.Subscriptions {
		if sub.Resource != past.Resource || sub.ObjectID != past.ObjectID || sub.ID == "" {
			continue
		}
		if !lived && sub.ID != past.ID && sub.CreatedAt.After(past.CreatedAt) {
			continue
		}
		event := ooo.Lifecycle{SubscriptionID: sub.ID, Kind: ooo.SubscriptionWasRemoved, At: w.clock()}
		if err := w.cfg.Store.Heard(ctx, owner.Key, event); err != nil {
			return errors.Join(ooo.ErrStale, err)
		}
	}
	return nil
}

// errUnclear means that a subscription may be that of another user of the mailbox,
// who is about to make one.
var errUnclear = errors.New("it is not clear yet whose subscription Graph has")

// others says whether a subscription that was listed is that of another user of
// the mailbox. Whoever makes one has noted so before it could be listed.
func (w work) others(ctx context.Context, resource string, id ooo.SubscriptionID) (bool, error) {
	var box ooo.Mailbox
	user := w.user
	box, err := w.place(ctx, w.claim, &user)
	if err != nil {
		return false, errors.Join(ooo.ErrStale, err)
	}
	unclear := false
	for _, key := range box.Others {
		other, err := w.cfg.Store.User(ctx, key)
		if errors.Is(err, ooo.ErrNotMonitored) {
			continue
		}
		if err != nil {
			return false, errors.Join(ooo.ErrStale, err)
		}
		for _, sub := range other.Subscriptions {
			if sub.ID == id || sub.Former == id {
				return true, nil
			}
			unclear = unclear || sub.Resource == resource && sub.State == ooo.SubscriptionCreating
		}
	}
	if unclear {
		return false, errUnclear
	}
	return false, nil
}

// roll finds the users who disagree on who covers a mailbox, while all are looked
// at. Mostly they have settled it by themselves.
type roll struct {
	owners  map[ooo.ObjectID]ooo.Key
	covered []ooo.User // by another, stripped down to what is compared
	odd     []ooo.Key
}

func newRoll() *roll { return &roll{owners: map[ooo.ObjectID]ooo.Key{}} }

func (r *roll) add(u ooo.User) {
	id := u.Person.ID
	switch {
	case !u.Active || id == "":
	case u.CoveredBy != "":
		r.covered = append(r.covered, ooo.User{Key: u.Key, Person: ooo.Person{ID: id}, CoveredBy: u.CoveredBy})
	case r.owners[id] != "":
		r.odd = append(r.odd, u.Key, r.owners[id])
	default:
		r.owners[id] = u.Key
	}
}

// disagree returns the users who have to look again, in no order.
func (r *roll) disagree() []ooo.Key {
	odd := r.odd
	for _, u := range r.covered {
		if r.owners[u.Person.ID] != u.CoveredBy {
			odd = append(odd, u.Key)
		}
	}
	return odd
}
