// SPDX-License-Identifier: Apache-2.0

// Package shape has calls through an interface, one type far more often than the others.
package shape

// Shape is implemented by value and by pointer.
type Shape interface {
	Area(detail int) float64
}

type Circle struct{ Radius float64 }

type Polygon struct{ Sides, Length float64 }

// Area of a circle as the sum of its slices.
func (c Circle) Area(detail int) float64 {
	sum := 0.0
	for i := 0; i < detail; i++ {
		sum += slice(c.Radius, float64(i), float64(detail))
	}
	return sum
}

// Area of a regular polygon.
func (p *Polygon) Area(detail int) float64 {
	sum := 0.0
	for i := 0; i < detail; i++ {
		sum += p.triangle(float64(i))
	}
	return sum / float64(detail)
}

func (p *Polygon) triangle(offset float64) float64 {
	square := p.Length * p.Length / (p.Sides + offset)
	return square + p.Sides/(offset+square)/(offset+p.Length)
}

func slice(radius, index, count float64) float64 {
	x := radius * (index + 0.5) / count
	height := (radius*radius - x*x) / (radius + x)
	return height * radius / (count + height) / (count + x)
}

// Total of all areas.
func Total(shapes []Shape, detail int) float64 {
	sum := 0.0
	for _, shape := range shapes {
		sum += shape.Area(detail)
	}
	return sum
}

// Some shapes, three circles for two polygons.
func Some(count int) []Shape {
	shapes := make([]Shape, count)
	for i := range shapes {
		if i%5 >= 3 {
			shapes[i] = &Polygon{float64(i%7 + 3), 1.5}
		} else {
			shapes[i] = &Circle{float64(i%5 + 1)}
		}
	}
	return shapes
}
