package graphsim

import (
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
)

// pageSize is the default of $top.
const pageSize = 100

// page answers with the page of a collection that $top and $skiptoken select. base is the URL
// above the collection.
func page[T any](c *call, base, collection string, all []T, show func(T) any) *reply {
	top, from := pageSize, 0
	var err error
	if raw := c.query.Get("$top"); raw != "" {
		if top, err = strconv.Atoi(raw); err != nil || top < 1 || top > 999 {
			return fail(http.StatusBadRequest, "Request_UnsupportedQuery",
				fmt.Sprintf("Invalid page size specified: '%s'. Must be between 1 and 999 inclusive.", raw))
		}
	}
	if raw := c.query.Get("$skiptoken"); raw != "" {
		if from, err = strconv.Atoi(raw); err != nil || from < 0 {
			return fail(http.StatusBadRequest, "Directory_ExpiredPageToken",
				"The specified page token value has expired and can no longer be included in your request.")
		}
	}
	body := map[string]any{"@odata.context": base + "$metadata#" + collection}
	if c.query.Get("$count") == "true" && strings.EqualFold(c.header("ConsistencyLevel"), "eventual") {
		body["@odata.count"] = len(all)
	}
	from = min(from, len(all))
	to := min(from+top, len(all))
	if to < len(all) {
		next := maps.Clone(c.query)
		next.Set("$skiptoken", strconv.Itoa(to))
		body["@odata.nextLink"] = base + collection + "?" + next.Encode()
	}
	value := []any{}
	for _, v := range all[from:to] {
		value = append(value, show(v))
	}
	body["value"] = value
	return respond(http.StatusOK, body)
}
