"""The lists that surfaces are drawn from. Data only."""

from __future__ import annotations


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


ONSETS = _split("b,br,c,ch,d,dr,f,g,gl,h,j,k,l,m,n,p,pr,r,s,sh,st,t,th,tr,v,w,z,kl,gr,fl,y,")
VOWELS = _split("a,e,i,o,u,a,e,o,ai,ee,ia")
CODAS = _split("n,r,s,t,l,m,ck,nd,st,x,ng,rt,k,v,sk,lm")
NAME_CHARACTERS = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰红梅建国志文斌鑫宇浩然子轩梓涵欣怡雨泽晨曦思远嘉琪"
    "雪松柏林海波江河山川云峰岩石青松竹菊莲荷春夏秋冬晓东南北西安宁康乐福寿喜庆祥瑞金银铜宝珍珠光辉星月阳"
    "天龙凤鹏飞翔鸿雁燕鹤书诗琴画墨笔砚博学智慧仁义礼信德恒永长新正方圆立成功达通运启帆航程盛昌隆兴旺茂丰"
)
FAMILY_NAMES = (
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余"
    "潘杜戴夏钟汪田任姜范方石姚谭廖邹熊陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段"
)
FIRST_NAMES = _split(
    "Anna,Ben,Clara,David,Emma,Felix,Grace,Henry,Iris,Jack,Kate,Leo,Mia,Noah,Olivia,Paul,Quinn,Rosa,Sam,"
    "Tina,Umar,Vera,"
    "Will,Xenia,Yara,Zoe,Ahmed,Bianca,Carlos,Dina,Elias,Fatima,George,Hanna,Ivan,Julia,Karim,Laura,Marco,Nina,Oscar,"
    "Petra,Rahul,Sara,Tom,Ursula,Victor,Wendy,Yusuf,Amelia,Bruno,Chloe,Diego,Elena,Frank,Gina,Hugo,Ingrid,James,Lena,"
    "Max,Nora,Otto,Priya,Ravi,Sofia,Tariq,Valerie,Walter,Lily,Lucas,Maria,Peter,Robert,Susan,Thomas,Alice,Linda,Kevin"
)
BUSINESSES_EN = _split(
    "Clinic,Dental Clinic,Bakery,Bookshop,Tutoring,Academy,Language School,Pharmacy,Flower Shop,Bike Shop,"
    "Practice,Studio,"
    "Store,Music School,Cafe,Eye Clinic,Health Centre,Toys,Learning Centre,Shoes"
)
BUSINESSES_ZH = _split(
    "诊所,牙科,面包店,书店,辅导班,学校,语言学校,药店,花店,车行,门诊,工作室,商店,音乐学校,咖啡馆,眼科诊所,健康中心,玩具店,培训中心,鞋店"
)
NUMBERS_EN = _split("zero,one,two,three,four,five,six,seven,eight,nine,ten,eleven,twelve")
NUMBERS_ZH = _split("零,一,两,三,四,五,六,七,八,九,十,十一,十二")
DAYS = _split("Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday")
MONTHS_ZH = _split("一,二,三,四,五,六,七,八,九,十,十一,十二")
MONTHS = _split("January,February,March,April,May,June,July,August,September,October,November,December")
PRODUCTS_EN = _split(
    "cake,mug,lamp,notebook,scarf,bag,chair,bouquet,bread,tea,helmet,puzzle,candle,pen,backpack,muffin,pillow,"
    "bottle,basket,umbrella,clock,blanket,jacket,hat,toy,soap,brush,sandwich,pie,coffee,vase,belt,wallet,ring,"
    "bracelet,doll,kite,drum,guitar,bike,lock,pump,tent,rug,mirror,towel,jar,honey,cheese,salad,plate,bowl,spoon,"
    "kettle,teapot,frame,poster,calendar,diary,folder,ruler,stapler,globe,atlas,stool,shelf,desk,cushion,curtain,"
    "carpet,apron,glove,sock,sweater,shirt,skirt,dress,boot,sandal,slipper,cap,necklace,brooch,watch,torch,"
    "lantern,tripod,speaker,keyboard,cable,charger,saddle,bell,tyre,basketball,racket,skateboard,sledge,ladder,"
    "hammer,bucket,watering can,flower pot,wreath,rose,tulip,cactus,bonsai,croissant,roll,baguette,tart,biscuit,"
    "waffle,brownie,cookie,jam,juice,lemonade,soup,cream,shampoo,toothbrush,thermometer,bandage,plaster,tea set,"
    "board game,card game,jigsaw,robot,teddy bear,marble,violin,flute,ukulele,comb,razor,suitcase,purse,key ring,"
    "screen,hammock,barbecue"
)
PRODUCTS_ZH = _split(
    "蛋糕,杯子,台灯,笔记本,围巾,背包,椅子,花束,面包,茶叶,头盔,拼图,蜡烛,钢笔,书包,松饼,枕头,"
    "水壶,篮子,雨伞,闹钟,毯子,外套,帽子,玩具,香皂,刷子,三明治,咖啡,花瓶,皮带,钱包,戒指,手链,"
    "娃娃,风筝,吉他,车锁,帐篷,地毯,镜子,毛巾,蜂蜜,奶酪,沙拉,盘子,碗,勺子,筷子,茶壶,相框,"
    "海报,台历,日记本,文件夹,尺子,订书机,地球仪,地图册,凳子,书架,书桌,靠垫,窗帘,围裙,手套,"
    "袜子,毛衣,衬衫,裙子,连衣裙,靴子,凉鞋,拖鞋,棒球帽,项链,胸针,手表,手电筒,灯笼,三脚架,音箱,"
    "键盘,数据线,充电器,车座,车铃,轮胎,篮球,球拍,滑板,雪橇,梯子,锤子,水桶,洒水壶,花盆,花环,"
    "玫瑰,郁金香,仙人掌,盆景,可颂,面包卷,法棍,蛋挞,饼干,华夫饼,布朗尼,曲奇,果酱,果汁,柠檬水,"
    "面霜,洗发水,牙刷,体温计,绷带,茶具,桌游,纸牌,机器人,泰迪熊,弹珠,小提琴,长笛,尤克里里,梳子,"
    "剃须刀,行李箱,钥匙扣,屏风,吊床,烤架,月饼,粽子,汤圆,折扇,毛笔"
)
QUALITIES_EN = _split(
    "red,blue,green,yellow,black,white,small,large,lemon,chocolate,wooden,leather,cotton,silver,golden,blueberry,"
    "travel,children's,winter,summer,classic,deluxe,apple,cherry,round,striped,folding,electric,ceramic,wool,"
    "vanilla,ginger,grey,pink,mini,double,silk,bamboo,paper,glass,almond,walnut,mountain,city,desk,garden,"
    "kitchen,orange,purple,brown,beige,turquoise,ivory,scarlet,navy,medium,tall,short,wide,narrow,heavy,light,"
    "soft,hard,square,oval,flat,curved,plain,checked,dotted,flowery,painted,handmade,vintage,modern,rustic,"
    "foldable,portable,waterproof,wireless,magnetic,musical,solar,steel,copper,brass,stone,marble,velvet,linen,"
    "denim,suede,felt,rubber,cork,rattan,oak,pine,maple,cinnamon,caramel,hazelnut,coconut,mango,peach,strawberry,"
    "raspberry,honey,mint,rose,lavender,pumpkin,spring,autumn,Christmas,birthday,wedding,party,school,office,"
    "camping,beach,baby,family,premium,budget,spare"
)
QUALITIES_ZH = _split(
    "红色,蓝色,绿色,黄色,黑色,白色,小号,大号,柠檬,巧克力,木制,真皮,纯棉,银色,金色,蓝莓,旅行,"
    "儿童,冬季,夏季,经典,豪华,苹果,樱桃,圆形,条纹,折叠,电动,陶瓷,羊毛,香草,姜味,灰色,粉色,"
    "迷你,双层,丝绸,竹制,纸质,玻璃,杏仁,核桃,山地,城市,桌面,花园,厨房,橙色,紫色,棕色,米色,"
    "青色,象牙色,大红,藏青,中号,加高,加宽,轻便,加厚,柔软,硬质,方形,椭圆,扁平,弧形,素色,格子,"
    "圆点,碎花,彩绘,手工,复古,现代,田园,可拆,便携,防水,无线,磁性,音乐,太阳能,不锈钢,铜制,"
    "石头,大理石,天鹅绒,亚麻,牛仔,麂皮,毛毡,橡胶,软木,藤编,橡木,松木,肉桂,焦糖,榛子,椰子,"
    "芒果,桃子,草莓,树莓,蜂蜜,薄荷,玫瑰,薰衣草,南瓜,春季,秋季,圣诞,生日,婚礼,派对,学生,办公,"
    "露营,沙滩,婴儿,家庭,高档,实惠,备用"
)
COURSES_EN = _split(
    "maths,physics,chemistry,biology,English,French,Spanish,German,Chinese,piano,guitar,violin,drawing,painting,"
    "chess,programming,robotics,history,geography,writing,reading,dance,ballet,yoga,singing,drums,flute,Latin,"
    "Italian,Japanese,Korean,pottery,photography,swimming,grammar,algebra,geometry,statistics,economics,cello,"
    "judo,karate,cooking,sewing,trigonometry,calculus,logic,astronomy,geology,botany,anatomy,psychology,"
    "sociology,philosophy,politics,law,accounting,marketing,bookkeeping,typing,spelling,phonics,poetry,"
    "journalism,drama,acting,theatre,film,animation,design,sculpture,ceramics,calligraphy,watercolours,"
    "embroidery,knitting,crochet,weaving,woodwork,metalwork,jewellery making,gardening,baking,first aid,"
    "public speaking,debating,Greek,Russian,Arabic,Turkish,Polish,Portuguese,Dutch,Swedish,Hindi,Hebrew,"
    "Vietnamese,Thai,sign language,Mandarin,Cantonese,trumpet,trombone,saxophone,clarinet,oboe,harp,viola,"
    "double bass,organ,accordion,ukulele,banjo,recorder,percussion,choir,music theory,salsa,tango,waltz,hip hop,"
    "tap dance,jazz dance,folk dance,gymnastics,pilates,aerobics,tai chi,kung fu,taekwondo,boxing,fencing,"
    "wrestling,archery,climbing,tennis,badminton,table tennis,football,basketball,volleyball,hockey,golf,rowing,"
    "sailing,diving,skating,skiing,riding,cycling,running,web design,data science,electronics,3D printing,"
    "mental arithmetic,exam preparation"
)
COURSES_ZH = _split(
    "数学,物理,化学,生物,英语,法语,西班牙语,德语,语文,钢琴,吉他,小提琴,绘画,油画,围棋,编程,"
    "机器人,历史,地理,写作,阅读,舞蹈,芭蕾,瑜伽,声乐,架子鼓,长笛,书法,意大利语,日语,韩语,陶艺,"
    "摄影,游泳,语法,代数,几何,统计,经济,大提琴,柔道,跆拳道,烹饪,缝纫,象棋,国画,三角函数,"
    "微积分,逻辑,天文,地质,植物学,解剖,心理学,社会学,哲学,政治,法律,会计,市场营销,记账,打字,"
    "拼写,拼音,诗歌,新闻写作,戏剧,表演,电影,动画,设计,雕塑,水彩,素描,刺绣,编织,木工,金工,"
    "首饰制作,园艺,烘焙,急救,演讲,辩论,希腊语,俄语,阿拉伯语,土耳其语,波兰语,葡萄牙语,荷兰语,"
    "印地语,越南语,泰语,手语,普通话,粤语,小号,长号,萨克斯,单簧管,双簧管,竖琴,中提琴,低音提琴,"
    "管风琴,手风琴,尤克里里,二胡,古筝,琵琶,笛子,葫芦丝,打击乐,合唱,乐理,拉丁舞,街舞,民族舞,"
    "爵士舞,踢踏舞,体操,普拉提,健美操,太极,武术,空手道,拳击,击剑,摔跤,射箭,攀岩,网球,羽毛球,"
    "乒乓球,足球,篮球,排球,高尔夫,赛艇,帆船,潜水,滑冰,滑雪,骑马,自行车,跑步,网页设计,数据分析,"
    "电子制作,3D打印,珠心算,作文,奥数,科学实验,篆刻,茶艺,插花,剪纸"
)
KINDS = {
    ("course", "en"): _split(
        "beginners',advanced,children's,evening,weekend,intensive,adult,morning,online,group,summer"
    ),
    ("course", "zh"): _split("初级,高级,少儿,晚间,周末,速成,成人,早间,线上,一对一,小组,假期,入门,暑期"),
    ("treatment", "en"): _split("children's,express,full,basic,extended,laser,gentle,yearly,deluxe,second,short,home"),
    ("treatment", "zh"): _split("儿童,快速,全套,基础,深度,激光,无痛,年度,高级,二次,简易,上门"),
}
FIELDS_EN = _split(
    "dentistry,eyes,skin,children,heart,ears,allergies,bones,stomach,lungs,nutrition,physiotherapy,pregnancy,"
    "back pain,sports injuries,vaccinations,diabetes,headaches,surgery,feet,throat,nose,hearing,speech therapy,"
    "sleep,memory,migraine,asthma,rheumatism,blood pressure,cholesterol,thyroid,kidneys,liver,knees,shoulders,"
    "hands,hips,teeth,gums,braces,wisdom teeth,contact lenses,cataracts,acne,eczema,warts,burns,hair loss,"
    "travel medicine,family medicine,geriatrics,mental health,anxiety,addiction,weight loss,menopause,newborns,"
    "teenagers,emergencies,infections,radiology,acupuncture,massage,vision"
)
FIELDS_ZH = _split(
    "牙科,眼科,皮肤科,儿科,心脏科,耳鼻喉科,过敏科,骨科,消化科,呼吸科,营养科,理疗科,妇产科,外科,"
    "内科,疫苗接种,糖尿病,神经科,口腔科,中医科,咽喉,鼻炎,听力,言语治疗,睡眠,记忆力,偏头痛,哮喘,"
    "风湿科,高血压,血脂,甲状腺,肾内科,肝病,膝关节,肩周炎,手外科,髋关节,牙周,正畸,智齿,隐形眼镜,"
    "白内障,痤疮,湿疹,烧伤,脱发,旅行医学,全科,老年科,心理科,焦虑,戒烟,减重,更年期,新生儿,"
    "青春期,急诊,感染科,放射科,针灸,推拿,视光,康复科,泌尿科"
)
TREATMENTS_EN = _split(
    "check-up,cleaning,filling,massage,blood test,eye test,vaccination,x-ray,consultation,haircut,hearing test,"
    "skin test,flu shot,root canal,crown,whitening,ultrasound,physio session,first visit,follow-up,allergy test,"
    "dressing,heart scan,bike service,sole repair,tuning,placement test,manicure,facial,stress test,scaling,"
    "denture,bridge,veneer,implant,brace fitting,tooth extraction,fluoride treatment,gum treatment,mouth guard,"
    "contact lens fitting,glasses fitting,eye pressure test,mole check,wart removal,acne treatment,peeling,"
    "skin scan,biopsy,urine test,stool test,breath test,lung test,sleep test,memory test,allergy injection,"
    "tetanus shot,travel vaccination,malaria consultation,blood pressure check,cholesterol test,diabetes check,"
    "thyroid scan,bone scan,CT scan,MRI scan,mammogram,smear test,pregnancy test,baby check,school check-up,"
    "sports check-up,driver's check-up,health certificate,acupuncture session,osteopathy session,speech session,"
    "hypnosis,diet plan,foot care,nail care,cupping,taping,plaster cast,stitches,stitch removal,wound care,"
    "ear cleaning,hearing aid fitting,infusion,vitamin injection,second opinion,video consultation,house call,"
    "hair colouring,beard trim,shave,perm,waxing,eyelash lift,pedicure,back massage,head massage,foot massage,"
    "brake service,chain change,tyre change,wheel repair,heel repair,key copy,watch battery change,string change,"
    "language test,trial exam,reading test"
)
TREATMENTS_ZH = _split(
    "体检,洗牙,补牙,按摩,抽血,视力检查,疫苗接种,拍片,咨询,理发,听力检查,皮肤测试,流感疫苗,"
    "根管治疗,牙冠,美白,超声检查,理疗,初诊,复诊,过敏测试,换药,心电图,修脚,针灸,拔罐,水平测试,"
    "美甲,面部护理,拔牙,洁治,假牙,牙桥,贴面,种植牙,牙套,涂氟,牙龈治疗,护齿套,隐形眼镜验配,配镜,"
    "眼压检查,痣检查,祛疣,祛痘,果酸换肤,皮肤扫描,活检,尿检,便检,呼气试验,肺功能检查,睡眠监测,"
    "记忆测试,脱敏针,破伤风针,旅行疫苗,血压测量,血脂检查,糖尿病筛查,甲状腺彩超,骨密度检查,核磁共振,"
    "乳腺检查,宫颈筛查,孕检,婴儿体检,入学体检,运动体检,驾驶员体检,健康证办理,正骨,言语训练,"
    "催眠治疗,饮食方案,足部护理,艾灸,刮痧,贴扎,打石膏,缝合,拆线,清创,采耳,助听器验配,输液,"
    "维生素针,视频问诊,上门出诊,染发,修面,烫发,脱毛,美睫,足疗,头部按摩,背部按摩,刹车保养,换链条,"
    "换轮胎,修轮圈,换鞋跟,配钥匙,换电池,换琴弦,语言测试,模拟考试,阅读测评,推拿,埋线,雾化"
)
DEPARTMENTS_EN = _split(
    "billing,invoices,registration,complaints,deliveries,appointments,jobs,marketing,lessons,exams,orders,"
    "returns,refunds,insurance,prescriptions,enrolment,timetables,homework,scholarships,catering,events,"
    "parking permits,security,cleaning,repairs,purchasing,press,partnerships,volunteers,internships,training,"
    "accounts,reservations,gift cards,loyalty cards,warranty,spare parts,the library,the website,data protection,"
    "lost property,transport,translations,medical records,school trips,exchange programmes,sponsoring,wholesale"
)
DEPARTMENTS_ZH = _split(
    "账单,发票,报名,投诉,送货,预约,招聘,市场,课程,考试,订单,退货,退款,保险,处方,招生,课表,"
    "作业,奖学金,餐饮,活动,停车证,安保,保洁,维修,采购,媒体,合作,志愿者,实习,培训,账户,预订,"
    "礼品卡,会员,保修,配件,图书馆,网站,数据保护,失物,交通,翻译,病历,研学,交换项目,赞助,批发"
)
MATERIALS_EN = _split(
    "wood,steel,cotton,wool,leather,glass,plastic,paper,silk,linen,bamboo,clay,rubber,copper,oak,felt"
)
MATERIALS_ZH = _split("木头,钢,棉,羊毛,皮革,玻璃,塑料,纸,丝绸,亚麻,竹子,陶土,橡胶,铜,橡木,毛毡")
LANGUAGES_EN = _split("English,Chinese,French,German,Spanish,Italian,Arabic,Turkish,Polish,Russian,Hindi,Portuguese")
LANGUAGES_ZH = _split("英语,中文,法语,德语,西班牙语,意大利语,阿拉伯语,土耳其语,波兰语,俄语,印地语,葡萄牙语")
STATUSES_EN = _split(
    "shipped,delivered,being packed,delayed,cancelled,on its way,waiting for payment,ready for pickup,"
    "in production,returned"
)
STATUSES_ZH = _split("已发货,已送达,正在打包,延误,已取消,运输中,等待付款,可自提,生产中,已退回,shipped,delivered")

METHODS_EN = (
    "cash", "credit cards", "debit cards", "bank transfer", "PayPal", "Visa", "Mastercard", "mobile payment",
    "vouchers", "invoice", "gift cards", "cheque", "direct debit", "Apple Pay", "Google Pay",
)  # fmt: skip
METHODS_ZH = (
    "现金", "信用卡", "银行卡", "支付宝", "微信", "银行转账", "会员卡", "代金券", "数字人民币", "云闪付", "购物卡",
    "支票",
)  # fmt: skip

ITEMS_EN = (
    "your passport", "an ID card", "your insurance card", "your health card", "a towel", "a notebook", "your receipt",
    "two photos", "a pencil", "the referral letter", "your glasses", "sports shoes", "a bottle of water",
    "your old X-rays", "a list of your medicines", "the signed form", "your student card", "the invoice", "a laptop",
    "warm clothes", "your vaccination card", "the order confirmation", "a copy of the contract", "your bank card",
)  # fmt: skip
ITEMS_ZH = (
    "护照", "身份证", "医保卡", "病历本", "毛巾", "笔记本", "小票", "两张照片", "铅笔", "转诊单", "眼镜", "运动鞋",
    "一瓶水", "以前的片子", "用药清单", "签好的表格", "学生证", "发票", "笔记本电脑", "厚衣服", "疫苗接种本",
    "订单截图", "合同复印件", "银行卡",
)  # fmt: skip
