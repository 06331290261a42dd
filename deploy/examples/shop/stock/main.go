// Reserves items. Gift-wrapped ones are slow on purpose: see chooseRibbon.
package main

import (
	"fmt"
	"net/http"
	"os"
	"sort"
	"strings"

	"flametap.dev/examples/shop/tracing"
)

func shelves(item string) []string {
	places := make([]string, 2000)
	for i := range places {
		places[i] = fmt.Sprintf("%s-%06d", item, (i*7919)%len(places))
	}
	return places
}

func findShelf(item string) string {
	places := shelves(item)
	sort.Strings(places)
	return places[len(places)/2]
}

// chooseRibbon compares every ribbon with every other, many times over.
func chooseRibbon(item string) int {
	best := 0
	ribbons := shelves(item)[:600]
	for round := 0; round < 60; round++ {
		for _, a := range ribbons {
			for _, b := range ribbons {
				if strings.Compare(a, b) < 0 {
					best++
				}
			}
		}
	}
	return best
}

func reserve(w http.ResponseWriter, r *http.Request) {
	item := r.URL.Query().Get("item")
	shelf := findShelf(item)
	if strings.HasPrefix(item, "gift") {
		fmt.Fprintf(w, "ribbon %d, ", chooseRibbon(item))
	}
	fmt.Fprintf(w, "shelf %s", shelf)
}

func main() {
	tracing.Serve(os.Getenv("LISTEN"), map[string]http.HandlerFunc{"/reserve": reserve})
}
