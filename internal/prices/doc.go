// Package prices estimates what messages cost.
//
// It takes the prices of an operator's file (Load) and numbers of messages and segments, and gives an amount in the file's currency
// (Table.Cost). Amounts are exact fractions. No price is part of the program: they differ by contract and change. Tested by tables.
package prices
