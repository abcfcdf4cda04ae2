package graphsim

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// defaultProperties are returned without a $select.
var defaultProperties = []string{
	"id", "displayName", "mail", "userPrincipalName", "businessPhones", "givenName",
	"jobTitle", "mobilePhone", "officeLocation", "preferredLanguage", "surname",
}

// properties returns all properties that $select may name.
func (u User) properties() map[string]any {
	local, _, _ := strings.Cut(u.UserPrincipalName, "@")
	return map[string]any{
		"id": u.ID, "displayName": u.DisplayName, "mail": u.Mail, "userPrincipalName": u.UserPrincipalName,
		"businessPhones": []string{}, "givenName": nil, "jobTitle": nil, "mobilePhone": nil,
		"officeLocation": nil, "preferredLanguage": nil, "surname": nil,
		"proxyAddresses": u.ProxyAddresses, "accountEnabled": true, "mailNickname": local,
		"userType": "Member", "otherMails": []string{},
	}
}

// selection parses $select.
func selection(q url.Values) ([]string, *reply) {
	raw := q.Get("$select")
	if raw == "" {
		return defaultProperties, nil
	}
	names := strings.Split(strings.ReplaceAll(raw, " ", ""), ",")
	known := User{}.properties()
	for _, name := range names {
		if _, ok := known[name]; !ok {
			return nil, badRequest(fmt.Sprintf(
				"Parsing OData Select and Expand failed: Could not find a property named '%s' on type 'microsoft.graph.user'.", name))
		}
	}
	return names, nil
}

// selected returns some properties of the user.
func (u User) selected(names []string) map[string]any {
	all, body := u.properties(), make(map[string]any, len(names)+1)
	for _, name := range names {
		body[name] = all[name]
	}
	return body
}

// getUser is GET /users/{id|upn}.
func (s *Server) getUser(c *call) *reply {
	names, refusal := selection(c.query)
	if refusal != nil {
		return refusal
	}
	a := s.find(c.path[1])
	if a == nil {
		return fail(http.StatusNotFound, "Request_ResourceNotFound", fmt.Sprintf(
			"Resource '%s' does not exist or one of its queried reference-property objects are not present.", c.path[1]))
	}
	body := a.selected(names)
	body["@odata.context"] = s.URL() + "/v1.0/$metadata#users/$entity"
	return respond(http.StatusOK, body)
}

// listUsers is GET /users, with or without $filter.
func (s *Server) listUsers(c *call) *reply {
	names, refusal := selection(c.query)
	if refusal != nil {
		return refusal
	}
	matches := func(User) bool { return true }
	if filter := c.query.Get("$filter"); filter != "" {
		terms, ok := parseFilter(filter)
		if !ok {
			return fail(http.StatusBadRequest, "Request_UnsupportedQuery",
				"Unsupported or invalid query filter clause specified for property of resource 'User'.")
		}
		matches = func(u User) bool { return slices.ContainsFunc(terms, func(t filterTerm) bool { return t.matches(u) }) }
	}
	return page(c, s.URL()+"/v1.0/", "users", s.match(matches), func(a *account) any { return a.selected(names) })
}
