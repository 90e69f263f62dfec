-- A small shop, for MySQL or MariaDB.
create table customers (
  id bigint unsigned primary key,
  name varchar(100) not null,
  country char(2) not null,
  created_at datetime not null
) character set utf8mb4;
create table orders (
  id bigint unsigned primary key,
  customer_id bigint unsigned not null,
  ordered_at datetime not null,
  status enum ('paid', 'sent', 'cancelled') not null
) character set utf8mb4;
create table order_items (
  order_id bigint unsigned not null,
  position smallint unsigned not null,
  product varchar(100) not null,
  quantity int unsigned not null,
  unit_price decimal(10, 2) not null,
  primary key (order_id, position)
) character set utf8mb4;
insert into customers values
  (1, 'Ada Lovelace', 'GB', '2023-05-01 09:00:00'),
  (2, 'Grace Hopper', 'US', '2023-06-12 14:30:00'),
  (3, 'Kateřina Nováková', 'CZ', '2023-11-03 08:15:00'),
  (4, '山田 花子', 'JP', '2024-01-20 23:59:59'),
  (5, 'O''Brien & Sons "Ltd"', 'GB', '2024-02-02 00:00:00');
insert into orders values
  (101, 1, '2023-12-30 10:00:00', 'sent'),
  (102, 1, '2024-01-15 11:20:00', 'sent'),
  (103, 2, '2024-01-31 23:59:59', 'paid'),
  (104, 3, '2024-02-01 00:00:00', 'paid'),
  (105, 3, '2024-02-10 16:45:10', 'cancelled'),
  (106, 4, '2024-02-14 12:00:00', 'sent'),
  (107, 2, '2024-03-05 07:07:07', 'paid'),
  (108, 1, '2024-03-21 18:30:00', 'paid');
insert into order_items values
  (101, 1, 'Tea', 1, 4.50),
  (102, 1, 'Tea', 3, 4.50),
  (102, 2, 'Teapot 🫖', 1, 39.90),
  (103, 1, 'Compiler manual', 2, 120.00),
  (104, 1, 'Kolo', 1, 12499.99),
  (104, 2, 'Zvonek', 2, 149.50),
  (105, 1, 'Kolo', 1, 12499.99),
  (106, 1, '急須', 1, 8800.00),
  (107, 1, 'Nanosecond of wire', 1000, 0.05),
  (108, 1, 'Analytical engine', 1, 999999.99),
  (108, 2, 'Punched cards', 5000, 0.01);
