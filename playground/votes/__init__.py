"""What people said of blind pairs: kept in a database, exported as a table, pushed to the Hub."""
