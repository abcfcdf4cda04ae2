package api

import (
	"context"

	"outlook-monitor/internal/ooo"
)

// covers returns the users who cover the mailboxes of those among users who don't
// cover their own, by key.
func (a *API) covers(ctx context.Context, users ...ooo.User) (map[ooo.Key]ooo.User, error) {
	var keys []ooo.Key
	for _, u := range users {
		if u.CoveredBy != "" {
			keys = append(keys, u.CoveredBy)
		}
	}
	if len(keys) == 0 {
		return nil, nil
	}
	owners, err := a.cfg.Store.Named(ctx, keys)
	if err != nil {
		return nil, err
	}
	byKey := make(map[ooo.Key]ooo.User, len(owners))
	for _, owner := range owners {
		byKey[owner.Key] = owner
	}
	return byKey, nil
}

// covered is u with the subscriptions that cover its mailbox, whoever has them.
func covered(u ooo.User, covers map[ooo.Key]ooo.User) ooo.User {
	if owner, ok := covers[u.CoveredBy]; ok && len(u.Subscriptions) == 0 && owner.Person.ID == u.Person.ID {
		u.Subscriptions = owner.Subscriptions
	}
	return u
}
