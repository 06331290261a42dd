// SPDX-License-Identifier: Apache-2.0

// A small web service such as people profile in production: routing, middleware
// as closures, JSON, a generic store, functions small enough to be inlined.
//
//	go-service serve ADDRESS            answers GET /search?q=WORD and POST /documents
//	go-service load URL SECONDS         asks it, eight requests at a time
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"service/store"
)

type document struct {
	ID    int      `json:"id"`
	Title string   `json:"title"`
	Words []string `json:"words"`
}

type service struct {
	documents *store.Store[int, *document]
}

const vocabulary = "flame stack frame sample goroutine channel map slice closure method interface generic inline profile kernel symbol line"

func (s *service) fill(count int) {
	words := strings.Fields(vocabulary)
	for id := 0; id < count; id++ {
		text := make([]string, 40)
		for i := range text {
			text[i] = words[hash(uint64(id*40+i))%uint64(len(words))]
		}
		s.documents.Put(id, &document{id, "document " + strconv.Itoa(id), text})
	}
}

// Inlined wherever it is called.
func hash(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>29
}

func score(words []string, query string) float64 {
	sum := 0.0
	for i, word := range words {
		if matches(word, query) {
			sum += weight(i)
		}
	}
	return sum
}

func matches(word, query string) bool { return strings.Contains(word, query) }

func weight(position int) float64 { return 1 / float64(position+1) }

func (s *service) search(answer http.ResponseWriter, request *http.Request) {
	query := strings.ToLower(request.URL.Query().Get("q"))
	best := store.NewBest[*document, float64](10)
	s.documents.Each(func(_ int, one *document) {
		if found := score(one.Words, query); found > 0 {
			best.Offer(one, found)
		}
	})
	reply(answer, best.Items())
}

func (s *service) add(answer http.ResponseWriter, request *http.Request) {
	var one document
	if err := json.NewDecoder(request.Body).Decode(&one); err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	s.documents.Put(one.ID, &one)
	reply(answer, one)
}

func reply[T any](answer http.ResponseWriter, value T) {
	answer.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(answer).Encode(value); err != nil {
		log.Print(err)
	}
}

type middleware func(http.Handler) http.Handler

func chain(handler http.Handler, layers ...middleware) http.Handler {
	for _, layer := range layers {
		handler = layer(handler)
	}
	return handler
}

func timed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		start := time.Now()
		next.ServeHTTP(answer, request)
		if took := time.Since(start); took > time.Second {
			log.Printf("%s took %s", request.URL, took)
		}
	})
}

func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
		defer func() {
			if reason := recover(); reason != nil {
				http.Error(answer, fmt.Sprint(reason), http.StatusInternalServerError)
			}
		}()
		next.ServeHTTP(answer, request)
	})
}

func serve(address string) error {
	one := &service{store.New[int, *document]()}
	one.fill(500)
	routes := http.NewServeMux()
	routes.HandleFunc("GET /search", one.search)
	routes.HandleFunc("POST /documents", one.add)
	return http.ListenAndServe(address, chain(routes, timed, recovered))
}

func load(url string, seconds float64) error {
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	words := strings.Fields(vocabulary)
	var group sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := worker; time.Now().Before(end); i++ {
				answer, err := http.Get(url + "/search?q=" + words[i%len(words)])
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				_ = answer.Body.Close()
				body := `{"id":` + strconv.Itoa(i%500) + `,"title":"new","words":["` + words[i%len(words)] + `","stack"]}`
				if answer, err = http.Post(url+"/documents", "application/json", strings.NewReader(body)); err == nil {
					_ = answer.Body.Close()
				}
			}
		}()
	}
	group.Wait()
	return nil
}

func main() {
	var err error
	switch {
	case len(os.Args) == 3 && os.Args[1] == "serve":
		err = serve(os.Args[2])
	case len(os.Args) == 4 && os.Args[1] == "load":
		var seconds float64
		if seconds, err = strconv.ParseFloat(os.Args[3], 64); err == nil {
			err = load(os.Args[2], seconds)
		}
	default:
		err = fmt.Errorf("usage: %s serve ADDRESS | load URL SECONDS", os.Args[0])
	}
	if err != nil {
		log.Fatal(err)
	}
}
