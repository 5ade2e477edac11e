// Package renderer turns a config repository into device configurations.
package renderer
